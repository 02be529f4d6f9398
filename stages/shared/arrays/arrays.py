"""data/processed: the images as one memory-mapped array, and the table that says what each row is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.errors import UserError
from ..core.files import read_json
from ..core.paths import PROCESSED
from .preprocessing import PreprocessSpec


@dataclass(frozen=True)
class Arrays:
    """images: uint8 N×H×W×C, memory-mapped, read-only. index: N rows: path, label, patient, group, split, fold."""

    images: np.ndarray
    index: pd.DataFrame
    classes: list[str]
    preprocess: PreprocessSpec
    fingerprint: str

    @property
    def size(self) -> tuple[int, int]:
        return self.images.shape[1], self.images.shape[2]

    @property
    def targets(self) -> np.ndarray:
        """int64 N: the position of each label in `classes`."""
        return np.asarray(self.index["label"].cat.codes, np.int64)

    def rows(self, split: str) -> np.ndarray:
        return np.flatnonzero(self.index["split"] == split)


def load_arrays(folder: Path = PROCESSED) -> Arrays:
    """Raises UserError when preprocess has not run, or its files do not belong together."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r")
        index = pd.read_parquet(folder / "index.parquet")
        meta = read_json(folder / "meta.json")
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: missing. Run `dvc repro preprocess`.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: damaged ({error}). Run `dvc repro -f preprocess`.") from None
    if len(images) != len(index):
        raise UserError(
            f"{folder}: images.npy has {len(images)} images and index.parquet {len(index)} rows. "
            "Run `dvc repro -f preprocess`."
        )
    spec = PreprocessSpec.model_validate(meta["preprocess"])
    return Arrays(images, index, list(meta["classes"]), spec, meta["fingerprint"])
