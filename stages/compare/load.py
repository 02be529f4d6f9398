"""The files that other stages left, as tables. Only keys that params.yaml lists are looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from ..shared import paths
from ..shared.errors import UserError
from ..shared.files import read_json
from ..shared.paths import Key

T = TypeVar("T")
MADE_BY = {
    "train": ("history.csv", "summary.json"),
    "evaluate": ("metrics.json", "predictions.parquet"),
    "explain": ("cases.json",),
}


@dataclass(frozen=True)
class Member:
    """What one model left behind. `test` is sorted by path, so row i of two members is the same image."""

    key: Key
    history: pd.DataFrame
    summary: Mapping[str, Any]
    metrics: Mapping[str, Any]
    predictions: pd.DataFrame
    cases: Sequence[Mapping[str, Any]]
    classes: tuple[str, ...]
    fingerprint: str

    @property
    def epoch_offset(self) -> int:
        """What turns the epochs of the files, which count from 0, into those that people count."""
        return 1 - int(self.history["epoch"].min())

    @cached_property
    def test(self) -> pd.DataFrame:
        rows = self.predictions[self.predictions["split"] == "test"]
        return rows.sort_values("path", ignore_index=True)

    @cached_property
    def truth(self) -> np.ndarray:
        """(N,) class numbers of the test images."""
        return _codes(self.test["label"], self.classes)

    @cached_property
    def predicted(self) -> np.ndarray:
        """(N,) class numbers."""
        return _codes(self.test["predicted"], self.classes)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(N, classes)."""
        return self.test[[f"prob_{name}" for name in self.classes]].to_numpy(float)


@dataclass(frozen=True)
class Data:
    """The data set all models share. Row i of `index` describes `images[i]`."""

    index: pd.DataFrame
    meta: Mapping[str, Any]
    validation: Mapping[str, Any]
    images: np.ndarray


def members(keys: Sequence[Key], classes: Sequence[str]) -> list[Member]:
    """Every member of the matrix.

    Raises:
        UserError: the matrix is empty, or files of a member are missing or unreadable.
    """
    if not keys:
        raise UserError(
            f"{paths.PARAMS}: matrix: one of backbone, strategy and sample is empty, so there is nothing to compare. "
            "Put at least one name in each."
        )
    return [member(key, classes) for key in keys]


def absent(key: Key) -> list[Path]:
    """The files of this member that are not there."""
    files = [paths.report_dir(stage, key) / name for stage, names in MADE_BY.items() for name in names]
    return [path for path in files if not path.is_file()]


def member(key: Key, classes: Sequence[str]) -> Member:
    gone = absent(key)
    if gone:
        stage = gone[0].parts[1]
        raise UserError(
            f"compare: model {key} is in the matrix, but {', '.join(map(str, gone))} "
            f"{'is' if len(gone) == 1 else 'are'} missing. Make it with `dvc repro {stage}@{key}`, or take the model "
            f"out of `matrix` in {paths.PARAMS}."
        )
    train, evaluate, explain = (paths.report_dir(stage, key) for stage in MADE_BY)
    return Member(
        key=key,
        history=_read(pd.read_csv, train / "history.csv", key),
        summary=_read(read_json, train / "summary.json", key),
        metrics=_read(read_json, evaluate / "metrics.json", key),
        predictions=_read(pd.read_parquet, evaluate / "predictions.parquet", key),
        cases=_read(read_json, explain / "cases.json", key),
        classes=tuple(classes),
        fingerprint=sha256((evaluate / "predictions.parquet").read_bytes()).hexdigest(),
    )


def data() -> Data:
    """Raises UserError when validate or preprocess has not run."""
    files = {name: paths.PROCESSED / name for name in ("index.parquet", "meta.json", "images.npy")}
    for path, stage in [(paths.VALIDATION, "validate"), *((path, "preprocess") for path in files.values())]:
        if not path.is_file():
            raise UserError(f"{path}: missing. Make it with `dvc repro {stage}`.")
    return Data(
        index=pd.read_parquet(files["index.parquet"]),
        meta=read_json(files["meta.json"]),
        validation=read_json(paths.VALIDATION),
        images=np.load(files["images.npy"], mmap_mode="r"),
    )


def _read(reader: Callable[[Path], T], path: Path, key: Key) -> T:
    try:
        return reader(path)
    except (ValueError, OSError) as error:  # JSON, CSV and parquet errors are all ValueErrors
        stage = path.parts[1]
        raise UserError(f"{path}: not readable ({error}). Make it again with `dvc repro -f {stage}@{key}`.") from None


def _codes(labels: pd.Series, classes: Sequence[str]) -> np.ndarray:
    codes = pd.Index(list(classes)).get_indexer(labels.astype(str))
    if (codes < 0).any():
        odd = labels.astype(str)[codes < 0].iloc[0]
        raise UserError(
            f"compare: predictions hold the class {odd!r}; data/processed/meta.json has {', '.join(classes)}. "
            "Run `dvc repro`."
        )
    return codes
