"""Names and inspections as one table: the manifest's columns, and those that only the checks need."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .duplicates import clusters
from .globs import examples
from .inspection import Inspection
from .params import Params


def table(images: pd.DataFrame, inspections: Sequence[Inspection], params: Params) -> pd.DataFrame:
    """One row per image, in the order of `images`."""
    inspected = pd.DataFrame(inspections).astype({
        "sha256": "str", "fault": "str", "mask_fault": "str", "mode": "str", "dhash": "str", "trimmed_dhash": "str",
        "width": "Int32", "height": "Int32", "brightness": float, "contrast": float, "sharpness": float,
    })  # fmt: skip
    # A blank image resembles every other one, so it is compared by its bytes only
    blank = ~(inspected["contrast"] >= params.limits.min_contrast)
    hashes = inspected[["dhash", "trimmed_dhash"]].mask(blank)
    cluster = clusters(inspected.assign(**hashes), params.near_duplicates)
    thumbnails = ["thumbnail", "trimmed_thumbnail"]
    return _derive(images.join(inspected.drop(columns=thumbnails)).assign(cluster=cluster))


def _derive(rows: pd.DataFrame) -> pd.DataFrame:
    sides = rows[["width", "height"]].astype(float)
    same = rows.groupby("cluster")
    paths = zip(rows["path"], rows["cluster"].map(same["path"].agg(list)), strict=True)
    return rows.assign(
        readable=rows["fault"].isna(),
        short_side=sides.min(axis=1),
        long_side=sides.max(axis=1),
        aspect=sides.max(axis=1) / sides.min(axis=1),
        mask_readable=rows["mask_fault"].isna().where(rows["mask"].notna(), None),
        labels_in_cluster=same["label"].transform("nunique"),
        patients_in_cluster=same["patient"].transform("nunique"),
        labels_of_patient=rows.groupby("patient")["label"].transform("nunique"),
        duplicates=[examples([p for p in cluster if p != path], 3) for path, cluster in paths],
    )
