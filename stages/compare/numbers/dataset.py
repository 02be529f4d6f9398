"""The data set that all models share, counted on its index itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DatasetCounts:
    """Of the images that the task can use: `rows`: (class, images in each of `splits`, images in all). `leaks`: (what,
    how many are in several splits), of all. `unannotated`: of each split, images without the masks that the task
    needs; empty where it needs none, or all have them."""

    splits: tuple[str, ...]
    rows: tuple[tuple[str, list[int], int], ...]
    images: list[int]  # of each split
    patients: list[int]  # of each split
    all_images: int
    all_patients: int
    leaks: tuple[tuple[str, int], ...]
    unannotated: list[int]


def count(every: pd.DataFrame, classes: Sequence[str], masks: bool = False) -> DatasetCounts:
    """`every`: index.parquet, one row per image. `masks`: the task can use annotated images only."""
    splits = tuple(name for name in SPLITS if (every["split"] == name).any())
    index = every[every["has_mask"].astype(bool)] if masks else every
    left_out = [int((every["split"] == name).sum() - (index["split"] == name).sum()) for name in splits]
    table = pd.crosstab(index["label"].astype(str), index["split"].astype(str)).reindex(
        index=list(classes), columns=list(splits), fill_value=0
    )
    patients = index.groupby(index["split"].astype(str))["patient"].nunique()
    return DatasetCounts(
        splits=splits,
        rows=tuple((name, table.loc[name].tolist(), int(table.loc[name].sum())) for name in classes),
        images=table.sum().tolist(),
        patients=[int(patients.get(name, 0)) for name in splits],
        all_images=len(index),
        all_patients=int(index["patient"].nunique()),
        leaks=tuple(
            (what, int((every.groupby(column)["split"].nunique() > 1).sum()))
            for what, column in (("patient", "patient"), ("group of duplicates", "group"))
        ),
        unannotated=left_out if any(left_out) else [],
    )
