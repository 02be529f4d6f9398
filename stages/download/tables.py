"""A table under pseudonyms: columns that identify nobody stay, everything else is replaced."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

import pandas as pd

from ..shared.core.errors import UserError
from ..shared.images.tables import Files, read_table
from .privacy import Pseudonyms, named_in


def pseudonymised(
    data: bytes, name: str, plain: Collection[str], new_names: Mapping[str, str], pseudonyms: Pseudonyms
) -> bytes:
    """The table as CSV or Parquet, as it was. `plain`: columns whose cells stay. In the others, a cell that means an
    image becomes that image's name in the archive, and any other one a pseudonym. `new_names`: name at the source ->
    name in the archive.

    Raises:
        UserError: not readable, or the new name of an image still has a cell of its row.
    """
    table = read_table(data, name)
    files = Files(new_names)
    hidden = [column for column in table.columns if column not in plain]
    meant = {column: table[column].map(lambda cell: _one(files, cell)) for column in hidden}
    _refuse_two_names(name, meant, new_names)
    for column in hidden:
        cells = meant[column].map(new_names).where(meant[column].notna(), table[column].map(
            lambda cell: None if cell is None else pseudonyms.of(str(cell))))  # fmt: skip
        _refuse_named(table, name, column, meant, new_names)
        table[column] = cells
    buffer = io.BytesIO()
    if PurePosixPath(name).suffix.lower() == ".parquet":
        table.to_parquet(buffer, index=False)
    else:
        table.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def _refuse_two_names(name: str, meant: Mapping[str, pd.Series], new_names: Mapping[str, str]) -> None:
    """One column says which image a row means. Where images keep their names, an id that is such a name would stay
    too, and another column may be just that."""
    kept = {image for image, new in new_names.items() if image == new}
    naming = [column for column, images in meant.items() if images.isin(kept).any()]
    if len(naming) > 1:
        raise UserError(
            f"{name}: columns {' and '.join(map(repr, naming))} both have names of images that stay as they are, so an "
            "id that is the name of its image would stay too. Make download.pseudonyms.names match the ids in the "
            "paths; or list the columns that identify nobody in download.pseudonyms.columns."
        )


def _one(files: Files, cell: object) -> str | None:
    meant = files.meant(cell) if isinstance(cell, str) else []
    return meant[0] if len(meant) == 1 else None


def _refuse_named(
    table: pd.DataFrame, name: str, column: str, meant: Mapping[str, pd.Series], new_names: Mapping[str, str]
) -> None:
    """The cells of `column` that mean no image must not stand in the new name of the image of their row."""
    images = pd.concat(meant.values(), axis=1).bfill(axis=1).iloc[:, 0]
    for cell, own, image in zip(table[column], meant[column], images, strict=True):
        if isinstance(cell, str) and isinstance(image, str) and own is None and named_in(new_names[image], [cell]):
            raise UserError(
                f"{name}: column {column!r} has {cell!r}, which stands in the name of its image too: {image}. Make "
                "download.pseudonyms.names match that part; or, where the column identifies nobody, list it in "
                "download.pseudonyms.columns."
            )
