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

from ..shared.core import paths
from ..shared.core.errors import UserError
from ..shared.core.files import read_json
from ..shared.core.paths import Key
from ..shared.measures.classification import classes_of, codes, probabilities

T = TypeVar("T")
FILES = {  # that each stage leaves of a model
    "train": ("history.csv", "plan.csv", "summary.json"),
    "evaluate": ("metrics.json", "predictions.parquet", "draws.parquet"),
    "explain": ("cases.json",),
}


@dataclass(frozen=True)
class Member:
    """What one model left behind. `test` is sorted by path, so row i of two members is the same image."""

    key: Key
    history: pd.DataFrame
    plan: pd.DataFrame  # columns epoch (from 0), block, lr (NaN: frozen)
    summary: Mapping[str, Any]
    metrics: Mapping[str, Any]
    predictions: pd.DataFrame
    draws: pd.DataFrame  # one row per bootstrap draw of the test patients, one column per metric
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
        return codes(self.test["label"], self.classes)

    @cached_property
    def predicted(self) -> np.ndarray:
        """(N,) class numbers."""
        return codes(self.test["predicted"], self.classes)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(N, classes)."""
        return probabilities(self.test)

    def value(self, split: str, metric: str, end: str = "value") -> float:
        """A metric as evaluate has it; end: value, or low or high of its interval, which the test split alone has. NaN:
        not defined."""
        estimate = self.metrics[split].get(metric)
        value = estimate.get(end) if isinstance(estimate, Mapping) else estimate
        return np.nan if value is None else float(value)


@dataclass(frozen=True)
class Missing:
    """A member of the matrix that is not complete. stage: the first whose files are not there."""

    key: Key
    stage: str


@dataclass(frozen=True)
class Data:
    """The data set all models share. Row i of `index` describes `images[i]`."""

    index: pd.DataFrame
    meta: Mapping[str, Any]
    validation: Mapping[str, Any]
    images: np.ndarray


def members(keys: Sequence[Key], classes: Sequence[str]) -> tuple[list[Member], list[Missing]]:
    """The complete members of the matrix, and the others.

    Raises:
        UserError: the matrix is empty, no member is complete, or a file is unreadable.
    """
    if not keys:
        raise UserError(
            f"{paths.PARAMS}: matrix: one of backbone, strategy and sample is empty, so there is nothing to compare. "
            "Put at least one name in each."
        )
    incomplete = {key: files for key in keys if (files := absent(key))}
    if len(incomplete) == len(keys):
        first, files = next(iter(incomplete.items()))
        raise UserError(
            f"compare: no model of the matrix is complete. The first, {first}, lacks {', '.join(map(str, files))}. "
            f"Make it with `dvc repro {files[0].parts[1]}@{first}`, or change `matrix` in {paths.PARAMS}."
        )
    missing = [Missing(key, files[0].parts[1]) for key, files in incomplete.items()]
    return [member(key, classes) for key in keys if key not in incomplete], missing


def absent(key: Key) -> list[Path]:
    """The files of this member that are not there."""
    files = [paths.report_dir(stage, key) / name for stage, names in FILES.items() for name in names]
    return [path for path in files if not path.is_file()]


def member(key: Key, classes: Sequence[str]) -> Member:
    train, evaluate, explain = (paths.report_dir(stage, key) for stage in FILES)
    path = evaluate / "predictions.parquet"
    table = _read(pd.read_parquet, path, key)
    if classes_of(table) != list(classes):
        raise UserError(
            f"{path}: classes {', '.join(classes_of(table)) or '(none)'}; data/processed/meta.json has "
            f"{', '.join(classes)}. Run `dvc repro`."
        )
    return Member(
        key=key,
        history=_read(pd.read_csv, train / "history.csv", key),
        plan=_read(read_plan, train / "plan.csv", key),
        summary=_read(read_json, train / "summary.json", key),
        metrics=_read(read_json, evaluate / "metrics.json", key),
        predictions=table,
        draws=_read(pd.read_parquet, evaluate / "draws.parquet", key),
        cases=_read(read_json, explain / "cases.json", key),
        classes=tuple(classes),
        fingerprint=sha256(path.read_bytes()).hexdigest(),
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


def read_plan(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, usecols=["epoch", "block", "lr"], dtype={"block": str})


def _read(reader: Callable[[Path], T], path: Path, key: Key) -> T:
    try:
        return reader(path)
    except (ValueError, OSError) as error:  # JSON, CSV and parquet errors are all ValueErrors
        stage = path.parts[1]
        raise UserError(f"{path}: not readable ({error}). Make it again with `dvc repro -f {stage}@{key}`.") from None
