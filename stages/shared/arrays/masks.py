"""The mask files of an image -> one array of class numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..images.mask import grey_levels, inside
from .preprocessing import resize


@dataclass(frozen=True)
class MaskFile:
    """`number`: of its structure, from 1."""

    path: str
    number: int
    invert: bool
    threshold: int


def structures_of(rows: pd.DataFrame) -> list[str]:
    """In the order of their numbers. Every annotated image has all of them, in this order."""
    annotated = rows.loc[rows["has_mask"], "masks"]
    return list(dict.fromkeys(file["structure"] for file in annotated.iloc[0])) if len(annotated) else []


def mask_files(masks: Sequence[Mapping[str, Any]], structures: Sequence[str]) -> list[MaskFile]:
    """The manifest's entries of one image; none: not annotated."""
    number = {name: k for k, name in enumerate(structures, start=1)}
    return [
        MaskFile(entry["path"], number[entry["structure"]], bool(entry["invert"]), int(entry["threshold"]))
        for entry in masks
    ]


def class_numbers(files: Sequence[MaskFile], contents: Sequence[bytes], shape: tuple[int, int]) -> np.ndarray:
    """uint8 h×w = `shape`, the image's: 0, or the number of the structure; where several overlap, of the last one. A
    mask of another size is resized to the image."""
    numbers = np.zeros(shape, np.uint8)
    for file, data in zip(files, contents, strict=True):
        structure = inside(grey_levels(data, file.path), file.invert, file.threshold)
        numbers[resize(structure.astype(np.uint8), shape, mask=True) > 0] = file.number
    return numbers
