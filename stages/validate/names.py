"""What the archive's names and its table say: label, patient, site, masks and provided split of every image."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import pandas as pd

from ..shared.core import metadata
from ..shared.core.errors import UserError
from ..shared.core.paths import PARAMS, RAW
from ..shared.core.time_limit import time_limit
from ..shared.images.kinds import is_clutter, is_image, is_table
from ..shared.images.naming import in_name
from .globs import examples, matches, matches_any, nearest_folders
from .labels import Rows, rows_of
from .masks import Masks, masks_of, without_image
from .params import Params

SECTION = f"{PARAMS}: validate"
SECONDS = 20  # for all names; a sound expression takes microseconds a name


@dataclass(frozen=True)
class Files:
    """`images`: one row per image, in the order of the archive: path, label, patient, site, provided_split, missing
    where no pattern matches or the table says nothing, and the table's metadata. `masks`: of each of them.
    `stray_masks`: named like the mask of an image that is not there. `tables`: that may give labels. `others`: none of
    these, and not ignored. `cells`: the rows of the table (`Rows.cells`)."""

    images: pd.DataFrame
    masks: dict[str, Masks]
    stray_masks: list[str]
    tables: list[str]
    others: list[str]
    cells: pd.DataFrame | None = None


def assign(names: Sequence[str], params: Params, read: Callable[[str], bytes]) -> Files:
    """`read` gives the bytes of a file: the table, or a file without a suffix that may be an image (DICOM).

    Raises:
        UserError: a pattern that matches nothing, a file matched by two classes or two splits, a mask of two images, a
            table that does not say what it should (`labels.rows_of`).
    """
    files = [n for n in names if not is_clutter(n) and not matches_any(n, params.ignore)]
    kept = [n for n in files if not is_table(n)]
    if not kept:
        raise UserError(f"{RAW}: has no files" + (f" beside those that {SECTION}.ignore names." if names else "."))
    tables = [n for n in files if is_table(n)]
    rows = rows_of(files, params, params.labels, read) if params.labels else None
    labels: Mapping[str, str | None]
    labels = _sort_into(kept, params.classes, "classes") if rows is None else _column(rows, "label")
    masks = masks_of(list(labels), set(names), params.mask) if params.mask else {}
    used = {path for own in masks.values() for path in (*(file.path for file in own.files), *own.spare)}
    left_out = rows.left_out if rows else set()
    # a mask beside its image has its suffix too
    labels = {n: label for n, label in labels.items() if n not in used and n not in left_out}
    splits = _splits(list(labels), params, rows)
    rest = [n for n in kept if n not in labels and n not in used and n not in left_out]
    stray = without_image(rest, params.mask) if params.mask else []
    strangers = set(rest).difference(stray)
    unlabelled = {n for n in strangers if is_image(n, partial(read, n))}
    others = [n for n in rest if n in strangers and n not in unlabelled]
    paths = [n for n in kept if n in labels or n in unlabelled]
    columns: dict[str, Mapping[str, str | None]]
    columns = {"label": labels, "patient": _patients(paths, params, rows), "site": _sites(paths, params, rows),
               "provided_split": splits}  # fmt: skip
    values = {"path": paths} | {column: [own.get(n) for n in paths] for column, own in columns.items()}
    table = pd.DataFrame(values, dtype="str").astype({"label": pd.CategoricalDtype(list(params.classes))})
    if rows is not None:
        described = rows.images[metadata.columns(rows.images.columns)].reindex(paths)
        table = table.join(described.reset_index(drop=True))
    nothing = Masks(missing=list(params.mask or {}))
    own = {n: masks.get(n, nothing) for n in paths}
    return Files(table, own, stray, tables, others, rows.cells if rows else None)


def _patients(paths: Sequence[str], params: Params, rows: Rows | None) -> Mapping[str, str | None]:
    if rows is not None and params.labels and params.labels.patient_column:
        return _column(rows, "patient")
    if params.dicom.patient:
        return {}  # until the files are read (table.py)
    return _search("patient", paths, params.patient) if params.patient else {n: n for n in paths}


def _sites(paths: Sequence[str], params: Params, rows: Rows | None) -> Mapping[str, str | None]:
    if rows is not None and params.labels and params.labels.site_column:
        return _column(rows, "site")
    return _search("site", paths, params.site) if params.site else {}


def _splits(names: Sequence[str], params: Params, rows: Rows | None) -> Mapping[str, str | None]:
    if rows is not None and params.labels and params.labels.split_column:
        return _column(rows, "provided_split")
    return _sort_into(names, params.provided_split, "provided_split") if params.provided_split else {}


def _column(rows: Rows, name: str) -> dict[str, str | None]:
    """Image -> its value; None where the table has none."""
    values = rows.images[name]
    return {str(image): None if missing else value for image, value, missing in zip(
        values.index, values, values.isna(), strict=True)}  # fmt: skip


def _sort_into(names: Sequence[str], patterns: Mapping[Any, Sequence[str]], key: str) -> dict[str, str]:
    """name -> the one entry of `patterns` that matches it; names without one are left out."""
    by_glob = {(e, g): {n for n in names if matches(n, g)} for e, globs in patterns.items() for g in globs}
    faults = [_matches_none(names, f"{key}.{entry}", g) for (entry, g), hits in by_glob.items() if not hits]
    by_entry = {entry: set().union(*(by_glob[entry, g] for g in globs)) for entry, globs in patterns.items()}
    for one, other in combinations(patterns, 2):
        both = sorted(by_entry[one] & by_entry[other])
        if both:
            faults.append(
                f"{SECTION}.{key}: {len(both)} files match both {one!r} ({examples(patterns[one])}) and {other!r} "
                f"({examples(patterns[other])}): {examples(both)}. Make the patterns exclude each other."
            )
    if faults:
        raise UserError("\n".join(faults))
    return {n: entry for entry, hits in by_entry.items() for n in sorted(hits)}


def _matches_none(names: Sequence[str], where: str, glob: str) -> str:
    nearest = nearest_folders(glob, names)
    plain = "/" not in glob and nearest != ["."]
    hint = " A pattern without a slash is compared with file names only." if plain else ""
    return (
        f"{SECTION}.{where}: {glob} matches none of the {len(names)} files in {RAW}.{hint} Folders with files there, "
        f"most similar first: {', '.join(nearest)}. Fix the pattern, add images where it looks, or remove it."
    )


def _search(field: str, names: Sequence[str], pattern: str) -> dict[str, str | None]:
    """name -> its patient or site, as the expression in `field` finds it."""
    regex = re.compile(pattern)
    endless = UserError(
        f"{SECTION}.{field}: {pattern!r} is not done with {len(names)} names, such as {examples(names, 1)}, after "
        f"{SECONDS} s. Nested repeats, as in (a+)+, try every way to divide a name: repeat only one of them."
    )
    with time_limit(SECONDS, endless):
        values = {n: in_name(regex.search(n), field) for n in names}
    if not any(values.values()):
        meaning = "to treat every image as a patient of its own" if field == "patient" else "for no sites"
        raise UserError(
            f"{SECTION}.{field}: {pattern!r} finds a {field} in none of {len(names)} names, such as "
            f"{examples(names, 3)}. Correct it, or set it to null {meaning}."
        )
    return values
