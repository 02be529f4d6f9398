"""The set's own split: groups that it divides are refused, or moved whole."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..shared.core.errors import UserError
from ..shared.core.paths import MANIFEST, PARAMS
from .params import Split

SECTION = f"{PARAMS}: preprocess.split"
PARTS = ("train", "val", "test")  # of a group with as many images in two of them, the first wins
NAMED = 5


def provided_parts(index: pd.DataFrame, provided: pd.Series, split: Split) -> np.ndarray:
    """One of PARTS for each group. `index`: with path, patient and group; `provided`: the part of each of its images.

    A divided group, with `repair`, goes to the part with most of its images; where train has as many as test, to train:
    then the test part keeps only images that it always had. Train and val are one part unless `val` is provided.

    Raises:
        UserError: a part is missing; a group is divided and `repair` is false.
    """
    if not (provided == "test").any() or not provided.isin(["train", "val"]).any():
        raise UserError(
            f"{SECTION}.method: provided, but {MANIFEST} lacks images of the test part or of the others. "
            f"Set {PARAMS}: validate.provided_split, e.g. {{train: 'train/**', test: 'test/**'}}, or this to grouped."
        )
    if split.val == "provided" and not (provided == "val").any():
        raise UserError(
            f"{SECTION}.val: provided, but {MANIFEST} has no images of a validation part. Set {PARAMS}: "
            "validate.provided_split.val, e.g. 'val/**', or this to dealt."
        )
    part = honoured(provided, split)
    images = pd.crosstab(index["group"], part).reindex(columns=list(PARTS), fill_value=0)
    divided = images.index[(images > 0).sum(axis=1) > 1]
    if len(divided) and not split.repair:
        raise _divided(index.assign(part=part), divided)
    parts = np.asarray(images.idxmax(axis=1))
    if not (parts == "train").any():
        raise UserError(
            f"{SECTION}.method: provided, but no group of images is left to train on. Set it to grouped, or give "
            f"{PARAMS}: validate.provided_split.train."
        )
    return parts


def honoured(provided: pd.Series, split: Split) -> pd.Series:
    """The part of each image as the set has it, as far as it counts: without `val: provided`, val is train."""
    valid = ["val", "test"] if split.val == "provided" else ["test"]
    return provided.where(provided.isin(valid), "train")


def _divided(index: pd.DataFrame, groups: pd.Index) -> UserError:
    lines = [
        f"{SECTION}.method: provided, but {len(groups)} groups (a patient, or duplicates of a picture) have images in "
        "more than one part of the set's own split, which would leak. Set repair: true to move each of them whole to "
        "the part with most of its images, or method to grouped, or leave these out:"
    ]
    first = index.groupby(["group", "part"])[["patient", "path"]].first()
    for group in groups[:NAMED]:
        own = first.loc[group]
        files = " and ".join(f"{path} ({part})" for part, path in own["path"].items())
        lines.append(f"  patient {own['patient'].iloc[0]}: {files}")
    return UserError("\n".join(lines + ["  …"] * (len(groups) > NAMED)))
