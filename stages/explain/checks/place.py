"""Where the heat of a map lies, and how wide.

Shapes: n maps, H×W pixels
"""

from __future__ import annotations

import numpy as np

BORDER = 0.1
"""Width of the border, as a share of the side: the border is then 36% of the area."""


def place(maps: np.ndarray) -> dict[str, np.ndarray]:
    """n values each, NaN of a map without heat. row, column: centre of mass, as shares of the height and the width.
    spread: root of the mean squared distance of the heat from it, as a share of the diagonal. entropy: of the heat over
    the pixels, 1 where it is spread evenly. border: share of the heat in the border."""
    height, width = maps.shape[1:]
    total = maps.sum(axis=(1, 2), dtype=float)
    shares = np.full(maps.shape, np.nan)
    np.divide(maps, total[:, None, None], out=shares, where=(total > 0)[:, None, None])
    rows, columns = (np.arange(length) + 0.5 for length in (height, width))
    row, column = (shares.sum(axis=2) * rows).sum(axis=1), (shares.sum(axis=1) * columns).sum(axis=1)
    away = (rows[:, None] - row[:, None, None]) ** 2 + (columns - column[:, None, None]) ** 2
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    outside = border(height, width)
    return {
        "row": row / height,
        "column": column / width,
        "spread": np.sqrt((shares * away).sum(axis=(1, 2))) / np.hypot(height, width),
        "entropy": -(shares * logs).sum(axis=(1, 2)) / np.log(height * width),
        "border": shares[:, outside].sum(axis=1),
    }


def border(height: int, width: int) -> np.ndarray:
    """H×W booleans."""
    outside = np.ones((height, width), bool)
    top, left = round(BORDER * height), round(BORDER * width)
    outside[top : height - top, left : width - left] = False
    return outside


def name_of(row: float, column: float) -> str:
    """Where a point lies, in words; `row` and `column` are shares of the height and the width."""
    vertical, horizontal = third(row, "upper", "lower"), third(column, "left", "right")
    if min(row, 1 - row) < 0.2 and min(column, 1 - column) < 0.2:
        return f"the {vertical} {horizontal} corner"
    if not vertical and not horizontal:
        return "the centre"
    return f"the {' '.join(filter(None, (vertical, horizontal)))} part"


def third(share: float, first: str, last: str) -> str:
    return first if share < 1 / 3 else last if share > 2 / 3 else ""
