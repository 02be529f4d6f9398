"""Tables in the archive: their rows, and which file a cell means."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from ..core.errors import UserError

SEPARATORS = ",;\t"
LONGEST_CELL = 2**20  # characters


def read_table(data: bytes, name: str) -> pd.DataFrame:
    """The rows of a CSV or Parquet file. Cells are text, and None where they are empty; only a cell of a Parquet file
    that holds a list stays one.

    A CSV is UTF-8 and begins with the names of its columns. Its separator is the comma, the semicolon or the tab,
    whichever its first line has most often.

    Raises:
        UserError: not readable, two columns of one name, or a row with more or fewer cells than there are columns.
    """
    table = _read_parquet(data, name) if name.lower().endswith(".parquet") else _read_csv(data, name)
    twice = [column for column, count in Counter(table.columns).items() if count > 1]
    if twice:
        raise UserError(f"{name}: has the column {twice[0]!r} twice, so it is unclear which is meant. Rename one.")
    table = table.astype(object)
    return table.where(table.notna(), None)


def _read_parquet(data: bytes, name: str) -> pd.DataFrame:
    try:
        table = pd.read_parquet(io.BytesIO(data))
    except (OSError, ValueError) as error:  # what Arrow raises on damaged files
        raise UserError(f"{name}: not readable as Parquet ({str(error).splitlines()[0]}). Write it anew.") from None
    return table.rename(columns=str).astype(object).map(_text)


def _text(value: Any) -> Any:
    if isinstance(value, (str, list)):
        return value or None
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return _text(value.tolist())
    if pd.isna(value):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _read_csv(data: bytes, name: str) -> pd.DataFrame:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{name}: line {line} is not UTF-8. Save the table as CSV in UTF-8.") from None
    header = text.partition("\n")[0]
    separator = max(SEPARATORS, key=header.count)
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        columns = next(reader, [])
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise UserError(
            f"{name}: line {reader.line_num} is not readable as CSV ({error}). Correct that line."
        ) from None
    for line, row in rows:
        if len(row) != len(columns):
            raise UserError(
                f"{name}: line {line} has {len(row)} cells and the first line {len(columns)}. Correct that line; a "
                f"cell with {separator!r} in it stands in double quotes."
            )
    if not rows:
        raise UserError(f"{name}: has no rows. Its first line has the names of the columns, the others are the rows.")
    table = pd.DataFrame([row for _, row in rows], columns=[column.strip() for column in columns], dtype=object)
    return table.loc[:, table.columns != ""].map(lambda cell: cell.strip() or None)


class Files:
    """The files that a cell of a table may mean: those with exactly this name; else those whose name ends in it, behind
    a slash; else the same without their suffix. Forward and backward slashes are alike, and so are composed and
    decomposed letters (é)."""

    def __init__(self, names: Iterable[str]) -> None:
        self._whole: dict[str, list[str]] = {}
        self._ends: defaultdict[str, list[str]] = defaultdict(list)
        self._stems: defaultdict[str, list[str]] = defaultdict(list)
        for name in names:
            plain = _plain(name)
            self._whole.setdefault(plain, []).append(name)
            for end in _ends(plain):
                self._ends[end].append(name)
            for end in _ends(str(PurePosixPath(plain).with_suffix(""))):
                self._stems[end].append(name)

    def meant(self, cell: str) -> list[str]:
        """None, one, or several where it is unclear which."""
        plain = _plain(cell)
        return self._whole.get(plain) or self._ends.get(plain) or self._stems.get(plain) or []


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")


def _ends(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]
