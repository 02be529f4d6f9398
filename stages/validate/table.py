"""Names and inspections as tables of images and masks: the manifest's columns, and those that only the checks need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

import pandas as pd

from ..shared.core import metadata
from .compared import Compared
from .duplicates import clusters
from .globs import examples
from .headers import FIELDS, PATIENT
from .inspection import Inspection
from .labels import measured
from .masks import MaskFile, Masks
from .params import Params

PROPORTIONS = 0.01  # by which height over width of a mask may differ from its image's


def table(
    images: pd.DataFrame, masks: Mapping[str, Masks], inspections: Sequence[Inspection], params: Params,
    compared: Compared | None = None,
) -> pd.DataFrame:  # fmt: skip
    """One row per image, in the order of `images`. `compared`: as `clusters` takes it."""
    names = [field.name for field in fields(Inspection) if field.name not in ("masks", "header")]
    inspected = pd.DataFrame({name: [getattr(own, name) for own in inspections] for name in names}).astype({
        "sha256": "str", "fault": "str", "mode": "str", "dhash": "str", "trimmed_dhash": "str",
        "width": "Int32", "height": "Int32", "brightness": float, "contrast": float, "sharpness": float,
    })  # fmt: skip
    # A blank image resembles every other one, so it is compared by its bytes only
    blank = ~(inspected["contrast"] >= params.limits.min_contrast)
    hashes = inspected[["dhash", "trimmed_dhash"]].mask(blank)
    cluster = clusters(inspected.assign(**hashes), params.near_duplicates, compared)
    thumbnails = ["thumbnail", "trimmed_thumbnail"]
    annotated = [masks[path].annotated for path in images["path"]]
    rows = images.join(inspected.drop(columns=thumbnails)).assign(
        **_of_headers([inspection.header for inspection in inspections], params),
        cluster=cluster,
        has_mask=annotated,
        masks=[[asdict(file) for file in annotation(masks[path])] for path in images["path"]],
        missing_masks=[", ".join(masks[path].missing) for path in images["path"]],
    )
    return _derive(rows)


def _of_headers(headers: Sequence[Mapping[str, str]], params: Params) -> dict[str, pd.Series]:
    """The columns that DICOM headers give."""
    columns = {metadata.column(name): FIELDS[name] for name in params.dicom.metadata}
    values = {
        name: measured(pd.Series([header.get(field) for header in headers], dtype=object))
        for name, field in columns.items()
    }
    if params.dicom.patient:
        values["patient"] = pd.Series([header.get(PATIENT) for header in headers], dtype="str")
    return values


def annotation(masks: Masks) -> list[MaskFile]:
    """What counts of an image's masks: all where it has every structure, else none."""
    return masks.files if masks.annotated else []


def mask_table(rows: pd.DataFrame, inspections: Sequence[Inspection]) -> pd.DataFrame:
    """One row per mask file: path, image, structure, invert, threshold, and what its inspection says. `rows`: the table
    of the images."""
    columns = ["path", "image", "structure", "invert", "threshold", "fault", "width", "height", "levels", "share",
               "border", "image_width", "image_height"]  # fmt: skip
    annotated = [i for i, inspection in enumerate(inspections) if inspection.masks]
    table = pd.DataFrame([
        {**file, **asdict(mask), "image": row["path"], "image_width": row["width"], "image_height": row["height"]}
        for i, row in zip(annotated, rows.iloc[annotated].to_dict("records"), strict=True)
        for file, mask in zip(row["masks"], inspections[i].masks, strict=True)
    ], columns=columns)  # fmt: skip
    sides = dict.fromkeys(("width", "height", "image_width", "image_height", "share", "border"), float)
    table = table.astype({"fault": "str", **sides})
    lowest, highest = table["levels"].str[0], table["levels"].str[-1]
    return table.assign(
        readable=table["fault"].isna(),
        proportions=_alike(table),
        same_size=_known(table, table["width"].eq(table["image_width"]) & table["height"].eq(table["image_height"])),
        level_count=table["levels"].str.len().astype(float),
        parted=_known(table, lowest.eq(highest) | (table["share"] > 0) & (table["share"] < 1)),
    )


def _known(table: pd.DataFrame, values: pd.Series) -> pd.Series:
    """`values`, and None where a mask or its image cannot be read."""
    return values.astype(object).where(table["width"].notna() & table["image_width"].notna(), None)


def _alike(table: pd.DataFrame) -> pd.Series:
    """Whether a mask has the proportions of its image: to the pixel that rounding costs, or to PROPORTIONS."""
    expected = table["image_height"] * table["width"] / table["image_width"]
    differs = (table["height"] - expected).abs()
    rounding = 0.5 + 0.5 * expected / table["width"]
    return _known(table, differs <= rounding.clip(lower=PROPORTIONS * expected))


def _derive(rows: pd.DataFrame) -> pd.DataFrame:
    sides = rows[["width", "height"]].astype(float)
    same = rows.groupby("cluster")
    several = rows[rows["cluster"].duplicated(keep=False)]
    members = several["path"].groupby(several["cluster"]).agg(list)
    paths = zip(rows["path"], rows["cluster"].map(members), strict=True)
    return rows.assign(
        readable=rows["fault"].isna(),
        short_side=sides.min(axis=1),
        long_side=sides.max(axis=1),
        aspect=sides.max(axis=1) / sides.min(axis=1),
        labels_in_cluster=same["label"].transform("nunique"),
        patients_in_cluster=same["patient"].transform("nunique"),
        labels_of_patient=rows.groupby("patient")["label"].transform("nunique"),
        splits_of_cluster=same["provided_split"].transform("nunique"),
        splits_of_patient=rows.groupby("patient")["provided_split"].transform("nunique"),
        duplicates=[
            examples([p for p in cluster if p != path], 3) if isinstance(cluster, list) else ""
            for path, cluster in paths
        ],
    )
