"""Words for people, where more than one room needs them."""

from __future__ import annotations

from collections.abc import Sequence


def listed(names: Sequence[str], last: str = "and") -> str:
    """a, b and c."""
    *some, end = names
    return f"{', '.join(some)} {last} {end}" if some else end


def count(number: int, thing: str) -> str:
    """`thing` in the singular: 1 image, 2 images."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def points(share: float) -> str:
    """A share in percentage points, rounded: 1 point, 12 points."""
    return count(round(100 * share), "point")


def table_row(*cells: str) -> str:
    """A line of a table in Markdown. A bar in a cell, as in the name of a group, would end the cell, and a line break
    the row."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
