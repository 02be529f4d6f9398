"""A table of the archive -> label, patient, site, part of the split and metadata of the images it has a row for."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ..shared.core import metadata
from ..shared.core.errors import UserError, closest, unknown
from ..shared.core.paths import PARAMS, RAW
from ..shared.images.kinds import is_table
from ..shared.images.tables import Files, read_table
from .globs import examples
from .masks import looks_like_mask
from .params import Labels, Params

SECTION = f"{PARAMS}: validate"
SEVERAL = re.compile(r"[|;]|^\s*\[.*\]\s*$", re.DOTALL)  # in one cell: A|B, A;B, ['A', 'B']
AGE = re.compile(r"(\d{3})([DWMY])")  # as DICOM writes it, e.g. 034Y
YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
NOTHING = {"", "na", "n/a", "nan", "none", "null"}
PARTS = {"train": {"train", "training"}, "val": {"val", "valid", "validation"}, "test": {"test", "testing"}}


@dataclass(frozen=True)
class Rows:
    """`images`: one row per image that the table names, indexed by its name in the archive: label, patient, site,
    provided_split (missing where the cell is empty), and the columns of metadata. `left_out`: images whose label is
    that of no class. `cells`: one row per row of the table: path (its cell), image (missing where it names none), rows
    (how many the image has)."""

    images: pd.DataFrame
    left_out: set[str]
    cells: pd.DataFrame


def rows_of(names: Sequence[str], params: Params, settings: Labels, read: Callable[[str], bytes]) -> Rows:
    """`names`: every file of the archive that is not ignored; `read` gives the bytes of one.

    Raises:
        UserError: the table is missing or not readable, lacks a column, names no image or not clearly which, gives an
            image several labels, or has no row with the label of a class.
    """
    table = table_of(names, settings, read)
    images = [name for name in names if not is_table(name)]
    cells = _cells(table[settings.path_column], images, params, settings)
    columns = {"label": settings.label_column, "patient": settings.patient_column, "site": settings.site_column,
               "provided_split": settings.split_column}  # fmt: skip
    columns |= {metadata.column(name): column for name, column in settings.metadata.items()}
    used = pd.DataFrame({name: table[c] if c else None for name, c in columns.items()}, dtype=object)
    used = used.assign(image=cells["image"])[cells["image"].notna()]
    _refuse_several(used, params, settings)
    used["label"] = used["label"].map(str, na_action="ignore")
    used = used.drop_duplicates()
    _refuse_conflicts(used, columns, settings)
    used = used.set_index("image")
    labels = _values(used["label"], params.classes, f"{SECTION}.classes", settings.label_column, settings)
    left_out = set(used.index[used["label"].notna() & labels.isna()])
    _tell_of_left_out(used["label"], labels, settings)
    used = used.assign(label=labels, provided_split=_splits(used["provided_split"], params, settings))
    described = {name: measured(used[name]) for name in metadata.columns(columns)}
    return Rows(used.assign(**described), left_out, cells)


def table_of(names: Sequence[str], settings: Labels, read: Callable[[str], bytes]) -> pd.DataFrame:
    """Raises UserError: not there, not readable, or without a column that is asked for."""
    where = f"{SECTION}.labels"
    tables = [name for name in names if is_table(name)]
    fitting = Files(tables).meant(settings.table)
    if not fitting:
        if not is_table(settings.table):
            raise UserError(
                f"{where}.table: {settings.table!r} is no table. Valid: a file that ends in .csv or .parquet."
            )
        hint = (
            f"Tables there: {examples(sorted(tables))}." if tables else
            "It has no table at all. Put it beside the images; where download.privacy is pseudonymise, name the "
            "columns that identify nobody in download.pseudonyms.columns."
        )  # fmt: skip
        raise UserError(f"{where}.table: {settings.table!r} is not in {RAW}. {hint}")
    if len(fitting) > 1:
        raise UserError(f"{where}.table: {settings.table!r} may be {examples(fitting)}. Write its folder too.")
    table = read_table(read(fitting[0]), fitting[0])
    for key, column in settings.columns.items():
        if column not in table.columns:
            raise unknown(f"{where}.{key}: column of {fitting[0]}", column, table.columns)
    others = table.columns.drop(settings.label_column)  # only a label may be a list, and is then refused
    return table.assign(**{column: table[column].map(_as_text) for column in others})


def _as_text(cell: object) -> object:
    return str(cell) if isinstance(cell, list) else cell


def _cells(paths: pd.Series, images: Sequence[str], params: Params, settings: Labels) -> pd.DataFrame:
    where = f"{SECTION}.labels.path_column: {settings.path_column!r} of {settings.table}"
    files = Files(images)
    known: dict[str, str | None] = {}
    for cell in paths.dropna().unique():
        meant = files.meant(str(cell))
        if len(meant) > 1:  # a mask may have the name of its image
            meant = [name for name in meant if not looks_like_mask(name, params.mask or {})] or meant
        if len(meant) > 1:
            raise UserError(
                f"{where}: {cell!r} may be {examples(meant)}. Write more of the path into the table, or leave files "
                "out with validate.ignore."
            )
        known[cell] = meant[0] if meant else None
    image = paths.map(known)
    if image.isna().all():
        raise UserError(
            f"{where}: none of its {len(paths):,} cells, such as {examples(list(map(str, paths.dropna())), 3)}, "
            f"is a file of {RAW}, such as {examples(sorted(images), 3)}. A cell is the name in the archive, the end of "
            "it behind a slash, or one of these without the suffix."
        )
    return pd.DataFrame({"path": paths.fillna(""), "image": image, "rows": image.map(image.value_counts()).fillna(1)})


def _refuse_several(used: pd.DataFrame, params: Params, settings: Labels) -> None:
    listed = {value for values in params.classes.values() for value in values}

    def has_several(cell: object) -> bool:
        text = cell if isinstance(cell, str) and cell not in listed else ""
        return isinstance(cell, list) or SEVERAL.search(text) is not None

    several = used["label"].map(has_several).astype(bool)
    if several.any() and settings.several == "refuse":
        shown = [f"{row['image']} ({row['label']})" for row in used[several].head(3).to_dict("records")]
        raise UserError(
            f"{SECTION}.labels.label_column: {settings.label_column!r} gives several labels in {several.sum():,} of "
            f"{len(used):,} rows: {examples(shown)}{', …' if several.sum() > 3 else ''}. Each image needs exactly one "
            "label. Write a column that has one, list such a value as it is in validate.classes, or leave those images "
            "out with validate.labels.several: leave_out."
        )


def _refuse_conflicts(used: pd.DataFrame, columns: Mapping[str, str | None], settings: Labels) -> None:
    again = used[used["image"].duplicated(keep=False)]
    if again.empty:
        return
    for name, column in columns.items():
        values = again.groupby("image")[name].agg(lambda cells: list(dict.fromkeys(map(str, cells))))
        differ = values[values.str.len() > 1]
        if len(differ):
            shown = [f"{image} ({' and '.join(cells)})" for image, cells in differ.head(3).items()]
            remedy = "Each image needs exactly one label" if name == "label" else "They have to agree"
            raise UserError(
                f"{SECTION}.labels.table: {settings.table} has several rows for one image that differ in {column!r}: "
                f"{examples(shown)}{', …' if len(differ) > 3 else ''}; {len(differ):,} in all. {remedy}: leave one row "
                "for each image."
            )


def _values(
    cells: pd.Series, meanings: Mapping[str, Iterable[str]], where: str, column: str, settings: Labels
) -> pd.Series:
    """Each cell as the entry of `meanings` that lists it; missing where none does."""
    entry: dict[str, str] = {}
    present = set(cells.dropna())
    for name, values in meanings.items():
        for value in values:
            if entry.setdefault(value, name) != name:
                raise UserError(f"{where}: {value!r} stands under both {entry[value]} and {name}. Leave it under one.")
            if value not in present:
                guess = closest(value, present)
                counts = cells.value_counts().head(10)
                raise UserError(
                    f"{where}.{name}: {value!r} is in no row of {settings.table}, column {column!r}."
                    f"{f' Did you mean {guess!r}?' if guess else ''} Values there: "
                    f"{', '.join(f'{cell} ({count:,})' for cell, count in counts.items())}"
                    f"{', …' if len(present) > 10 else ''}. With validate.labels, classes list values of that column."
                )
    return cells.map(entry)


def _tell_of_left_out(cells: pd.Series, labels: pd.Series, settings: Labels) -> None:
    others = cells[labels.isna()].value_counts()
    if len(others):
        shown = ", ".join(f"{value} ({count:,})" for value, count in others.head(5).items())
        print(
            f"validate: {others.sum():,} images are left out: {SECTION}.classes lists none of their values in column "
            f"{settings.label_column!r}: {shown}{', …' if len(others) > 5 else ''}.",
            file=sys.stderr,
        )


def _splits(cells: pd.Series, params: Params, settings: Labels) -> pd.Series:
    if settings.split_column is None:
        return cells
    if params.provided_split:
        meanings = {str(part): values for part, values in params.provided_split.items()}
        return _values(cells, meanings, f"{SECTION}.provided_split", settings.split_column, settings)
    part = {word: name for name, words in PARTS.items() for word in words}
    parts = cells.str.casefold().map(part)
    odd = cells[parts.isna()].dropna()
    if len(odd):
        raise UserError(
            f"{SECTION}.labels.split_column: {settings.split_column!r} of {settings.table} has "
            f"{examples(sorted(set(odd)))}. Valid: train, val, test; say which is which in validate.provided_split, "
            "e.g. {train: [A, B], test: [C]}."
        )
    return parts


def measured(cells: pd.Series) -> pd.Series:
    """Cells of text as numbers where all are numbers or ages as DICOM writes them (034Y, in years); else as text.
    Empty ones, and words for nothing such as NA, are missing."""
    cells = cells.astype("str")
    cells = cells.mask(cells.str.strip().str.casefold().isin(NOTHING))
    ages = cells.dropna().map(AGE.fullmatch)
    if len(ages) and ages.notna().all():
        years = ages.map(lambda match: round(int(match[1]) * YEARS[match[2]], 2))
        return years.reindex(cells.index).astype(float)
    numbers = pd.to_numeric(cells, errors="coerce")
    if cells.notna().any() and numbers.notna().equals(cells.notna()):
        return numbers.astype(float)
    return cells
