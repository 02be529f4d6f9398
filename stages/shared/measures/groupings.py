"""Groups of the test images: by site, metadata, folder, and by what every image file has.

Every model is tested on the same images, so the groups of two models are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from ..core import metadata
from ..core.errors import UserError, unknown
from ..core.paths import PARAMS

MOST = 20  # groups of a column; with more, such as one folder a patient, there is nothing to compare
FEW = 6  # distinct numbers that are groups of their own
UNKNOWN = "not known"
THIRDS = {
    "image_size": ("small", "middle", "large"),
    "brightness": ("dark", "middle", "bright"),
    "contrast": ("low", "middle", "high"),
}


@dataclass(frozen=True)
class Grouping:
    """`of`: the group of each test image. `order`: the names of the groups."""

    name: str
    title: str
    of: np.ndarray
    order: list[str]


@dataclass(frozen=True)
class Groupings:
    """`left_out`: title of a column -> why it has no groups."""

    columns: list[Grouping]
    left_out: dict[str, str] = field(default_factory=dict)


def groupings(test: pd.DataFrame, bins: Mapping[str, Sequence[float]]) -> Groupings:
    """Of all columns that `test` has. `bins`: the edges of metadata that are numbers, by name.

    Raises:
        UserError: `bins` names metadata that the images do not have, or that are no numbers.
    """
    check_bins(test, bins)
    columns = {"site": ("Site", named(test["site"]))} if "site" in test else {}
    for name in metadata.columns(test.columns):
        short = name.removeprefix(metadata.PREFIX)
        columns[name] = short.replace("_", " ").capitalize(), of_metadata(short, test[name], bins.get(short))
    columns["folder"] = "Folder", folders(test)
    columns["image_size"] = "Image size", sizes(test)
    columns["brightness"] = "Brightness", thirds(test["brightness"], THIRDS["brightness"])
    columns["contrast"] = "Contrast", thirds(test["contrast"], THIRDS["contrast"])
    kept, left_out = [], {}
    for name, (title, (of, order)) in columns.items():
        if len(order) > MOST:
            left_out[title] = f"{len(order)} different values"
        elif len(order) < 2:
            left_out[title] = "the same for all test images"
        else:
            kept.append(Grouping(name, title, of, order))
    return Groupings(kept, left_out)


def check_bins(test: pd.DataFrame, bins: Mapping[str, Sequence[float]]) -> None:
    described = [name.removeprefix(metadata.PREFIX) for name in metadata.columns(test.columns)]
    for name in bins:
        where = f"{PARAMS}: evaluate.subgroups.bins"
        if name not in described:
            raise unknown(where, name, described)
        if not pd.api.types.is_numeric_dtype(test[metadata.column(name)]):
            raise UserError(
                f"{where}.{name}: the values are no numbers, such as {test[metadata.column(name)].iloc[0]}."
            )


Named = tuple[np.ndarray, list[str]]


def named(values: pd.Series) -> Named:
    """Each value is a group; the largest first."""
    of = values.astype(object).where(values.notna(), UNKNOWN).astype(str)
    return of.to_numpy(), [str(name) for name in of.value_counts(sort=True).index]


def of_metadata(name: str, values: pd.Series, edges: Sequence[float] | None) -> Named:
    """Ages by decade, other numbers by thirds, unless there are few of them; what is no number as it is."""
    if not pd.api.types.is_numeric_dtype(values) or (edges is None and values.nunique() <= FEW):
        return named(values)
    if edges is not None:
        return between(values, edges)
    if name == "age" and values.max() >= 10:  # of small children a decade says nothing
        decades = range(10, 10 * (int(values.max()) // 10) + 1, 10)
        return between(values, [*decades])
    return thirds(values, ("low", "middle", "high"))


def between(values: pd.Series, edges: Sequence[float]) -> Named:
    """Groups from each edge on; below the first: one more."""
    ends = sorted(edges)
    names = [f"below {ends[0]:g}", *(f"{low:g} to below {high:g}" for low, high in pairwise(ends))]
    names.append(f"{ends[-1]:g} and above")
    return coded(values, np.searchsorted(ends, values.to_numpy(float), side="right"), names)


def thirds(values: pd.Series, words: Sequence[str]) -> Named:
    """Equal values stay in one group, so that a group may be larger than a third, or none at all."""
    known = values.dropna().to_numpy(float)
    if len(np.unique(known)) < 2:
        return named(values)
    low, high = np.quantile(known, [1 / 3, 2 / 3], method="lower")
    names = [f"{words[0]}: up to {low:.4g}", f"{words[1]}: up to {high:.4g}", f"{words[2]}: above {high:.4g}"]
    return coded(values, np.searchsorted([low, high], values.to_numpy(float), side="left"), names)


def coded(values: pd.Series, codes: np.ndarray, names: Sequence[str]) -> Named:
    of = np.where(values.notna(), np.array([*names, UNKNOWN], dtype=object)[codes], UNKNOWN)
    return of, [name for name in (*names, UNKNOWN) if (of == name).any()]


def sizes(test: pd.DataFrame) -> Named:
    """Width × height of the file where there are few of them, else thirds of the number of pixels."""
    exact = test["width"].map("{:.0f}".format) + " × " + test["height"].map("{:.0f}".format)
    if exact.nunique() <= FEW:
        return named(exact)
    return thirds(test["width"] * test["height"] / 1e6, [f"{word}, megapixels" for word in THIRDS["image_size"]])


def folders(test: pd.DataFrame) -> Named:
    """The first level of folders that differs and does not follow the label: a folder named after a class has images of
    one class only. All in one group where there is no such level."""
    parents = [PurePosixPath(path).parts[:-1] for path in test["path"]]
    labels = test["label"].astype(str)
    for level in range(max(map(len, parents), default=0)):
        names = pd.Series([parts[level] if level < len(parts) else "" for parts in parents], index=test.index)
        mixed = int((labels.groupby(names).nunique() > 1).sum())
        if names.nunique() > 1 and (mixed > 1 or labels.nunique() == 1):
            return named(names)
    return np.full(len(test), "", dtype=object), [""]
