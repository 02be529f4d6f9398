"""Tables in Markdown."""

from __future__ import annotations


def table_row(*cells: str) -> str:
    """A line of a table. A bar in a cell, as in the name of a group, would end the cell, and a line break the row."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
