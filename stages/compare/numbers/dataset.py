"""The data set that all models share, counted on its index itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DatasetCounts:
    """`rows`: (class, images in each of `splits`, images in all). `leaks`: (what, how many are in several splits)."""

    splits: tuple[str, ...]
    rows: tuple[tuple[str, list[int], int], ...]
    images: list[int]  # of each split
    patients: list[int]  # of each split
    all_images: int
    all_patients: int
    leaks: tuple[tuple[str, int], ...]


def count(index: pd.DataFrame, classes: Sequence[str]) -> DatasetCounts:
    """`index`: index.parquet, one row per image."""
    splits = tuple(name for name in SPLITS if (index["split"] == name).any())
    table = pd.crosstab(index["label"].astype(str), index["split"].astype(str)).reindex(
        index=list(classes), columns=list(splits), fill_value=0
    )
    patients = index.groupby(index["split"].astype(str))["patient"].nunique()
    return DatasetCounts(
        splits=splits,
        rows=tuple((name, table.loc[name].tolist(), int(table.loc[name].sum())) for name in classes),
        images=table.sum().tolist(),
        patients=[int(patients[name]) for name in splits],
        all_images=len(index),
        all_patients=int(index["patient"].nunique()),
        leaks=tuple(
            (what, int((index.groupby(column)["split"].nunique() > 1).sum()))
            for what, column in (("patient", "patient"), ("group of duplicates", "group"))
        ),
    )
