"""The split card: what lies in which part, and the proof that nothing lies in two.

Counted on the files that were written, data/processed/index.parquet joined with data/manifest.parquet, and not with the
code that made the split: patients, contents of files and pictures are those of the manifest.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pandas as pd

from .params import Split
from .provided import honoured
from .split import EVEN, uneven_parts

PARTS = ("train", "val", "test")
KEYS = {"patient": "patients", "sha256": "files", "cluster": "pictures"}  # column of the manifest: what it tells apart
NAMED = 20  # groups that moved


def card(index: pd.DataFrame, manifest: pd.DataFrame, split: Split) -> dict[str, Any]:
    """`index` and `manifest` as they were read back. Its keys:

    split: the settings. parts, folds: images, patients (null where they are unknown), groups, and images and patients
    of each class and site. overlap: for patients, files with the same bytes and pictures, how many lie in two parts,
    and in two folds. largest: the group with most images. moved: what is not where the set's own split has it. unmet:
    what an even split would have and this one has not, in words. even: what holds where nothing is unmet.
    """
    rows = index.drop(columns="patient").merge(
        manifest[["path", "provided_split", *KEYS]], on="path", how="left", validate="one_to_one"
    )
    known = bool((rows["patient"] != rows["path"]).any())
    fold = rows["fold"].map(lambda k: "test" if k < 0 else f"fold {k}")
    return {
        "split": split.model_dump(),
        "patients_known": known,
        "parts": {name: _counts(rows[rows["split"] == name], known) for name in PARTS},
        "folds": {name: _counts(own, known) for name, own in rows.groupby(fold)},
        "overlap": {
            name: {
                **{f"{a}, {b}": _in_both(rows, column, a, b) for a, b in combinations(PARTS, 2)},
                "folds": int((rows.groupby(column)["fold"].nunique() > 1).sum()),
            }
            for column, name in KEYS.items()
        },
        "largest": _largest(rows),
        "moved": _moved(rows, split),
        "even": EVEN,
        "unmet": [*uneven_parts(rows, split), *_large_group(rows, split), *_missing_sites(rows)],
    }


def overlaps(content: dict[str, Any]) -> int:
    """How many patients, files and pictures of a card lie in more than one part or fold."""
    return sum(sum(counts.values()) for counts in content["overlap"].values())


def _counts(rows: pd.DataFrame, known: bool) -> dict[str, Any]:
    def plain(part: pd.DataFrame) -> dict[str, int | None]:
        return {"images": len(part), "patients": int(part["patient"].nunique()) if known else None}

    return {
        **plain(rows),
        "groups": int(rows["group"].nunique()),
        "classes": {str(name): plain(rows[rows["label"] == name]) for name in rows["label"].cat.categories},
        "sites": {str(name): plain(part) for name, part in rows.groupby("site")} if "site" in rows else {},
    }


def _in_both(rows: pd.DataFrame, column: str, one: str, other: str) -> int:
    return len(set(rows.loc[rows["split"] == one, column]) & set(rows.loc[rows["split"] == other, column]))


def _largest(rows: pd.DataFrame) -> dict[str, Any]:
    sizes = rows["group"].value_counts()
    own = rows[rows["group"] == sizes.index[0]]
    return {
        "images": len(own),
        "share": round(len(own) / len(rows), 4),
        "patients": int(own["patient"].nunique()),
        "patient": str(own["patient"].iloc[0]),
        "part": str(own["split"].iloc[0]),
    }


def _moved(rows: pd.DataFrame, split: Split) -> dict[str, Any]:
    """Images that are not where the set's own split has them, as far as it is honoured, and their groups."""
    if split.method != "provided":
        return {"images": 0, "groups": 0, "first": []}
    before, after = honoured(rows["provided_split"], split), honoured(rows["split"], split)
    moved = rows.assign(before=before, after=after)[before != after]
    groups = list(moved.groupby("group"))
    return {
        "images": len(moved),
        "groups": len(groups),
        "first": [
            {
                "patients": sorted(set(own["patient"].astype(str))),
                "paths": own["path"].tolist(),
                "from": sorted(set(own["before"])),
                "to": str(own["after"].iloc[0]),
            }
            for _, own in groups[:NAMED]
        ],
    }


def _large_group(rows: pd.DataFrame, split: Split) -> list[str]:
    """A group that is more than an even fold: no deal can make its part even."""
    largest, fold = _largest(rows), (rows["fold"] >= 0).sum() / split.folds
    if largest["images"] <= fold:
        return []
    who = f"Patient {largest['patient']}"
    if largest["patients"] > 1:
        who = f"A group of {largest['patients']} patients who share pictures ({largest['patient']} and others)"
    return [
        f"{who} has {largest['images']:,} of {len(rows):,} images, more than an even fold ({fold:,.0f}), and a group "
        f"is never divided: all of them are in {largest['part']}."
    ]


def _missing_sites(rows: pd.DataFrame) -> list[str]:
    if "site" not in rows:
        return []
    images = pd.crosstab(rows["site"], rows["split"]).reindex(columns=list(PARTS), fill_value=0)
    return [f"{part}: no image of site {site}" for site, own in images.iterrows() for part in PARTS if not own[part]]
