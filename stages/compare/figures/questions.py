"""Questions about groups of models: a difference and its interval per line."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ...shared.figures.style import GOOD, INK, MUTED, figure
from ..text import level as coverage
from .style import rows_around_zero


def question(rows: pd.DataFrame, sides: tuple[str, str], label: str, level: float, bounded: bool) -> Figure:
    """`rows`: of one question; the last one over all is darker where there are several. `sides`: the names of a and
    b. `bounded`: the metric lies between 0 and 1."""
    fig, axes = figure(6.4, 1.1 + 0.3 * len(rows))
    ax = axes[0, 0]
    for y, row in enumerate(rows.itertuples()):
        pooled = row.within == "all"
        colour = INK if pooled else MUTED if row.verdict == "not shown to differ" else GOOD
        ax.plot([row.low, row.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
        ax.plot(row.difference, y, "D" if pooled else "o", color=colour, markersize=7)
    names = ["all" if row.within == "all" else f"{row.within}, {row.sample}" for row in rows.itertuples()]
    rows_around_zero(ax, names, f"mean test {label}: {sides[0]} minus {sides[1]}, {coverage(level)} interval")
    low, high = ax.get_xlim()
    if bounded:  # few seeds give intervals that are wider than any difference can be
        ax.set_xlim(max(low, -1), min(high, 1))
    return fig
