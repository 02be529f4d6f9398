"""Words for people, where more than one room needs them."""

from __future__ import annotations

from collections.abc import Sequence


def listed(names: Sequence[str], last: str = "and") -> str:
    """a, b and c."""
    *some, end = names
    return f"{', '.join(some)} {last} {end}" if some else end
