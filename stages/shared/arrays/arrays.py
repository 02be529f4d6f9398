"""data/processed: the images and masks as memory-mapped arrays, and the table that says what each row is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..core.errors import UserError
from ..core.files import read_json
from ..core.paths import PROCESSED
from ..images.archive import Archive
from ..images.mask import grey_levels
from .preprocessing import PreprocessSpec


@dataclass(frozen=True)
class Arrays:
    """images: uint8 N×H×W×C, memory-mapped, read-only. index: N rows: path, label, patient, has_mask, site (where there
    are any), group, split, fold, mask_fits (the steps moved no pixel, so that a mask can be brought back to the size of
    the file), and metadata (`core.metadata`).

    masks: uint8 N×H×W, memory-mapped: 0 for background, k for the k-th of `structures`; None where no image is
    annotated. Of an image that is not annotated (`has_mask`) the row is zeros and means nothing.
    """

    images: np.ndarray
    index: pd.DataFrame
    classes: list[str]
    preprocess: PreprocessSpec
    fingerprint: str
    masks: np.ndarray | None = None
    structures: list[str] = field(default_factory=list)
    original_masks: Archive | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.images.shape[1], self.images.shape[2]

    @property
    def targets(self) -> np.ndarray:
        """int64 N: the position of each label in `classes`."""
        return np.asarray(self.index["label"].cat.codes, np.int64)

    def original_mask(self, row: int) -> np.ndarray:
        """Class numbers at the size of the image's file, uint8 h×w. Only annotated rows have one."""
        if self.original_masks is None or not self.index["has_mask"].iloc[row]:
            raise ValueError(f"row {row} is not annotated")
        name = f"{row}.png"
        return grey_levels(self.original_masks.read(name), name)

    def rows(self, split: str) -> np.ndarray:
        return np.flatnonzero(self.index["split"] == split)


def at_sites(index: pd.DataFrame, sample: Mapping[str, Any]) -> np.ndarray:
    """bool N: the images of the sites that a sample trains and validates on: its `site`, or all but `leave_out`, or
    all. An image whose site is unknown may be of the one that is left out, and is left out too. `sample`: the settings;
    recipes from before there were sites lack them."""
    site, left_out = sample.get("site"), sample.get("leave_out")
    if site is not None:
        return np.asarray(index["site"] == site, bool)
    if left_out is not None:
        return np.asarray(index["site"].notna() & (index["site"] != left_out), bool)
    return np.ones(len(index), bool)


def load_arrays(folder: Path = PROCESSED) -> Arrays:
    """Raises UserError when preprocess has not run, or its files do not belong together."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r")
        index = pd.read_parquet(folder / "index.parquet")
        meta = read_json(folder / "meta.json")
        structures = list(meta["structures"])
        masks = np.load(folder / "masks.npy", mmap_mode="r") if structures else None
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: missing. Run `dvc repro preprocess`.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: damaged ({error}). Run `dvc repro -f preprocess`.") from None
    except KeyError as error:  # from a version that knew no masks
        raise UserError(f"{folder / 'meta.json'}: lacks {error}. Run `dvc repro -f preprocess`.") from None
    if len(images) != len(index):
        raise UserError(
            f"{folder}: images.npy has {len(images)} images and index.parquet {len(index)} rows. "
            "Run `dvc repro -f preprocess`."
        )
    spec = PreprocessSpec.model_validate(meta["preprocess"])
    classes, fingerprint = list(meta["classes"]), meta["fingerprint"]
    originals = Archive(folder / "masks_original.zip", "preprocess") if structures else None
    return Arrays(images, index, classes, spec, fingerprint, masks, structures, originals)
