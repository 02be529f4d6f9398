"""Figures along the size of the training set: the learning curve, and what a strategy gains over the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ...shared.figures.style import MUTED
from ..numbers.power_law import Curve
from ..text import level as coverage
from .style import Look, mean_of, panels

AHEAD = 2  # times the largest size: as far as a fitted curve is drawn
STEP = 0.014  # between strategies at one size, as a share of the axis: their intervals stand side by side


def data_efficiency(
    means: pd.DataFrame, board: pd.DataFrame, label: str, look: Look, fitted: Sequence[Curve] = ()
) -> Figure:
    """The metric called `label` against the number of training images: one panel per backbone, one line per strategy,
    a faint point per repeat, dashed its `fitted` power law, to twice the largest size. `means`: one row per backbone,
    strategy and size; `board`: one row per model."""
    fig, axes = _panels(means, look, height=3.5)
    values, repeated = board.set_index("key").value, bool((means.seeds > 1).any())
    step = _step(means)
    for ax, strategy, rows, shift in _lines(means, axes, look):
        x, colour = rows.train_images * (shift if repeated else 1.0), look.colour[strategy]
        ax.fill_between(x, rows.value_low, rows.value_high, color=colour, alpha=0.12, linewidth=0)
        ax.plot(x, rows.value, color=colour, label=strategy)
        if repeated:
            ax.vlines(x, rows.value_low, rows.value_high, color=colour, linewidth=1)
        for at, row in zip(x, rows.itertuples(), strict=True):
            ax.plot(at, row.value, "o" if repeated else look.mark[row.sample][0], color=colour, markersize=6)
            if repeated:
                own = values[[f"{row.backbone}-{row.strategy}-{sample}" for sample in row.samples.split()]]
                beside = [at / step**0.4] * len(own)
                ax.plot(beside, own, "o", color=colour, markersize=4, alpha=0.45, markeredgewidth=0)
    for curve in fitted:
        images = np.geomspace(curve.images[0], AHEAD * curve.images[-1])
        ax = axes[look.backbones.index(curve.backbone)]
        values_of_curve, colour = curve.law.at(images)[0], look.colour[curve.strategy]
        ax.plot(images, values_of_curve, linestyle=(0, (4, 2)), linewidth=1.2, color=colour)
    axes[0].set_ylabel(f"{mean_of(means)}test {label}, shaded: {coverage(means.confidence[0])} interval")
    _legend(axes[0], "lower right")
    return fig


def gains(contrasts: pd.DataFrame, baseline: str, label: str, level: str, look: Look) -> Figure:
    """Difference to the baseline against the number of training images, with intervals."""
    fig, axes = _panels(contrasts, look, height=3.0)
    for ax in axes:
        ax.axhline(0, color=MUTED, linewidth=1)
    for ax, strategy, rows, shift in _lines(contrasts, axes, look):
        x, colour = rows.train_images * shift, look.colour[strategy]
        ax.vlines(x, rows.low, rows.high, color=colour, linewidth=2)
        ax.plot(x, rows.difference, "o-", color=colour, linewidth=0.8, markersize=6, label=strategy)
    axes[0].set_ylabel(f"mean test {label} minus\nthat of {baseline}, {level} interval")
    _legend(axes[0], "upper right")
    return fig


def _panels(table: pd.DataFrame, look: Look, height: float) -> tuple[Figure, Sequence[Axes]]:
    """One panel per backbone, on common axes."""
    count = len(look.backbones)
    width = {1: 5.6, 2: 4.7}.get(count, 3.7)
    fig, axes = panels(count, width, height, sharex=True, sharey=True)
    sizes = sorted(table.train_images.unique())
    for ax, backbone in zip(axes, look.backbones, strict=True):
        ax.set_xscale("log")
        ax.set_xticks(sizes, [f"{n:,.0f}" for n in sizes])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.tick_params(labelbottom=True)
        ax.set_xlabel("training images (log scale)")
        ax.grid(axis="y")
        ax.set_title(backbone if count > 1 else "")
    return fig, axes


def _lines(table: pd.DataFrame, axes: Sequence[Axes], look: Look) -> Iterator[tuple[Axes, str, pd.DataFrame, float]]:
    """(panel, strategy, its rows from few to many images, a factor around 1 that keeps it beside the others). Trainings
    at one site are no points of the line of those at all."""
    strategies, step = list(dict.fromkeys(table.strategy)), _step(table)
    for ax, backbone in zip(axes, look.backbones, strict=True):
        for (strategy, _), rows in table[table.backbone == backbone].groupby(["strategy", "site"], sort=False):
            shift = step ** (strategies.index(strategy) - (len(strategies) - 1) / 2)
            yield ax, str(strategy), rows.sort_values("train_images"), shift


def _legend(ax: Axes, loc: Literal["lower right", "upper right"]) -> None:
    """Each strategy once, however many lines it has."""
    handles, labels = ax.get_legend_handles_labels()
    lines = dict(zip(labels, handles, strict=True))
    ax.legend(list(lines.values()), list(lines), loc=loc)


def _step(table: pd.DataFrame) -> float:
    return float((table.train_images.max() / table.train_images.min()) ** STEP)
