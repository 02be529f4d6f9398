"""Numbers of things, in the singular and the plural."""

from __future__ import annotations


def count(number: int, thing: str) -> str:
    """`thing` in the singular: 1 image, 2 images."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def points(share: float) -> str:
    """A share in percentage points, rounded: 1 point, 12 points."""
    return count(round(100 * share), "point")
