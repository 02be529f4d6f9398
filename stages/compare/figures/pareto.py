"""Score against cost."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ...shared.figures.style import MUTED, PAPER
from ..numbers.pareto import Cost
from ..text import level as coverage
from .style import Look, mean_of, panels

SEVERAL = 3  # times the smallest amount: from there on the axis is logarithmic


def fronts(table: pd.DataFrame, costs: Mapping[str, Cost], label: str, level: float, look: Look) -> Figure:
    """A panel per cost, a point per row with the interval of its value. Line: the front; hollow: on it, but not shown
    to be better than a cheaper one; faint: another scores no worse and costs no more. `label`: of the metric."""
    names = list(dict.fromkeys(table.cost))
    fig, axes = panels(len(names), 5.2 if len(names) < 3 else 4.2, 3.9, sharey=True)
    for ax, name in zip(axes, names, strict=True):
        rows, cost = table[table.cost == name], costs[name]
        front = rows[rows.front.astype(bool)]
        ax.plot(front.amount, front.value, color=MUTED, linewidth=1, drawstyle="steps-post", zorder=1)
        for row in rows.itertuples():
            colour, faint = look.colour[row.strategy], 1.0 if row.front else 0.3
            shown = not row.front or row.verdict in (None, "better") or pd.isna(row.verdict)
            ax.vlines(row.amount, row.value_low, row.value_high, color=colour, linewidth=1.2, alpha=faint)
            ax.plot(
                row.amount, row.value, look.mark[row.sample][0], color=colour, alpha=faint, markersize=8,
                markerfacecolor=colour if shown else PAPER, markeredgewidth=1.5,
            )  # fmt: skip
            if row.front and len(look.backbones) > 1:
                ax.annotate(row.backbone, (row.amount, row.value), (6, -10), textcoords="offset points", fontsize=7)
        times = rows.amount.max() / rows.amount.min()
        if times > SEVERAL:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5) if times < 10 else (1, 3) if times < 100 else (1,)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}"))
            ax.xaxis.set_minor_locator(NullLocator())
        ax.margins(x=0.12)
        ax.set_xlabel(f"{cost.label}, {cost.unit}" if cost.unit else cost.label)
        ax.grid()
    axes[0].set_ylabel(f"{mean_of(table)}test {label}, {coverage(level)} interval")
    lines = [
        Line2D([], [], color=look.colour[s], label=s, marker="o", linewidth=0) for s in dict.fromkeys(table.strategy)
    ]
    sizes = look.samples if len(look.samples) > 1 else []
    lines += [Line2D([], [], color=MUTED, label=s, marker=look.mark[s][0], linewidth=0) for s in sizes]
    fig.legend(handles=lines, loc="outside lower center", ncols=4)
    return fig
