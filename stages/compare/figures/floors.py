"""What models reach above the best prediction without a network."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ...shared.figures.style import figure
from ..text import level
from .style import Look, rows_around_zero


def above(board: pd.DataFrame, differences: pd.DataFrame, label: str, floor: str, look: Look) -> Figure:
    """A line per row of `board`: its difference to the floor, with the interval. `label`: what the metric is called."""
    fig, axes = figure(6.4, 0.9 + 0.28 * len(board))
    ax = axes[0, 0]
    for y, row in enumerate(board.itertuples()):
        own = differences.loc[row.key]
        colour = look.colour[row.strategy]
        ax.plot([own.low, own.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
        ax.plot(own.difference, y, look.mark[row.sample][0], color=colour, markersize=7)
    names = [look.name(row) for row in board.itertuples()]
    coverage = level(board.confidence.iloc[0])
    rows_around_zero(ax, names, f"test {label} minus that of the floor ({floor}), {coverage} interval")
    return fig
