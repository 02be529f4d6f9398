"""What names and looks say, as one table: the manifest's columns, and those that only the checks need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .duplicates import clusters
from .globs import shown
from .members import Member
from .params import Params
from .scan import Look


def frame(images: Sequence[Member], looks: Sequence[Look], params: Params) -> pd.DataFrame:
    """One row per image, sorted by path."""
    text = "str"
    table = pd.DataFrame({
        "path": pd.array([m.path for m in images], dtype=text),
        "label": pd.Categorical([m.label for m in images], categories=list(params.classes)),
        "patient": pd.array([m.patient for m in images], dtype=text),
        "mask": pd.array([m.mask for m in images], dtype=text),
        "provided_split": pd.array([m.provided_split for m in images], dtype=text),
        "width": pd.array([look.width for look in looks], dtype="Int32"),
        "height": pd.array([look.height for look in looks], dtype="Int32"),
        "mode": pd.array([look.mode for look in looks], dtype=text),
        "sha256": pd.array([look.sha256 for look in looks], dtype=text),
        "dhash": pd.array([look.dhash for look in looks], dtype=text),
        "brightness": np.array([look.brightness for look in looks], np.float64),
        "contrast": np.array([look.contrast for look in looks], np.float64),
        "sharpness": np.array([look.sharpness for look in looks], np.float64),
        "readable": np.array([look.readable for look in looks]),
        "fault": [look.reason for look in looks],
        "mask_fault": [look.mask_fault for look in looks],
    })  # fmt: skip
    return table.assign(cluster=_clusters(table, looks, params)).pipe(_derive)


def _clusters(table: pd.DataFrame, looks: Sequence[Look], params: Params) -> np.ndarray:
    """A blank image resembles every other one, so it is compared by its bytes only."""
    blank = ~(table["contrast"] >= params.limits.min_contrast)
    hashes = [None if empty else look.dhash for empty, look in zip(blank, looks, strict=True)]
    return clusters(table["sha256"].tolist(), hashes, [look.thumbnail for look in looks], params.near_duplicates)


def _derive(table: pd.DataFrame) -> pd.DataFrame:
    sides = table[["width", "height"]].astype("Float64").astype(float)
    same = table.groupby("cluster")
    return table.assign(
        short_side=sides.min(axis=1),
        long_side=sides.max(axis=1),
        aspect=sides.max(axis=1) / sides.min(axis=1),
        mask_readable=table["mask_fault"].isna().where(table["mask"].notna(), None),
        labels_in_cluster=same["label"].transform("nunique"),
        patients_in_cluster=same["patient"].transform("nunique"),
        labels_of_patient=table.groupby("patient")["label"].transform("nunique"),
        twins=_twins(table),
    )


def _twins(table: pd.DataFrame) -> list[str]:
    """For every image, the others of its cluster."""
    together = table.groupby("cluster")["path"].agg(list)
    rows = zip(table["path"], table["cluster"], strict=True)
    return [shown([p for p in together[cluster] if p != path], 3) for path, cluster in rows]
