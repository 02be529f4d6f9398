"""Figures along the size of the training set: the learning curve, and what a strategy gains over the baseline."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ...shared.figures.style import MUTED
from ..text import level as coverage
from .style import Look, mean_of, panels

STEP = 0.014  # between strategies at one size, as a share of the axis: their intervals stand side by side


def data_efficiency(means: pd.DataFrame, board: pd.DataFrame, label: str, look: Look) -> Figure:
    """The metric called `label` against the number of training images: one panel per backbone, one line per strategy,
    a faint point per repeat. `means`: one row per backbone, strategy and size; `board`: one row per model."""
    fig, axes = _panels(means, look, height=3.5)
    values, repeated = board.set_index("key").value, bool((means.seeds > 1).any())
    shift = _shifts(means) if repeated else {}
    for ax, backbone in zip(axes, look.backbones, strict=True):
        for strategy, rows in means[means.backbone == backbone].groupby("strategy", sort=False):
            rows = rows.sort_values("train_images")
            rows = rows.assign(x=rows.train_images * shift.get(strategy, 1.0))
            _line(ax, rows, strategy, look, repeated)
            if repeated:
                _repeats(ax, rows, values, look.colour[strategy])
    axes[0].set_ylabel(f"{mean_of(means)}test {label}, shaded: {coverage(means.confidence[0])} interval")
    axes[0].legend(loc="lower right")
    return fig


def gains(contrasts: pd.DataFrame, baseline: str, label: str, level: str, look: Look) -> Figure:
    """Difference to the baseline against the number of training images, with intervals."""
    fig, axes = _panels(contrasts, look, height=3.0)
    shift = _shifts(contrasts)
    for ax, backbone in zip(axes, look.backbones, strict=True):
        ax.axhline(0, color=MUTED, linewidth=1)
        for strategy, rows in contrasts[contrasts.backbone == backbone].groupby("strategy", sort=False):
            rows = rows.sort_values("train_images")
            x, colour = rows.train_images * shift[strategy], look.colour[strategy]
            ax.vlines(x, rows.low, rows.high, color=colour, linewidth=2)
            ax.plot(x, rows.difference, "o-", color=colour, linewidth=0.8, markersize=6, label=strategy)
    axes[0].set_ylabel(f"mean test {label} minus\nthat of {baseline}, {level} interval")
    axes[0].legend(loc="upper right")
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


def _line(ax: Axes, rows: pd.DataFrame, strategy: str, look: Look, repeated: bool) -> None:
    colour = look.colour[strategy]
    ax.fill_between(rows.x, rows.value_low, rows.value_high, color=colour, alpha=0.12, linewidth=0)
    ax.plot(rows.x, rows.value, color=colour, label=strategy)
    for row in rows.itertuples():
        ax.plot(row.x, row.value, "o" if repeated else look.mark[row.sample][0], color=colour, markersize=6)


def _repeats(ax: Axes, rows: pd.DataFrame, values: pd.Series, colour: str) -> None:
    ax.vlines(rows.x, rows.value_low, rows.value_high, color=colour, linewidth=1)
    for row in rows.itertuples():
        own = values[[f"{row.backbone}-{row.strategy}-{sample}" for sample in row.samples.split()]]
        beside = row.x / _step(rows.train_images) ** 0.4
        ax.plot([beside] * len(own), own, "o", color=colour, markersize=4, alpha=0.45, markeredgewidth=0)


def _shifts(table: pd.DataFrame) -> dict[str, float]:
    """A factor per strategy, around 1."""
    strategies = list(dict.fromkeys(table.strategy))
    step, middle = _step(table.train_images), (len(strategies) - 1) / 2
    return {name: float(step ** (i - middle)) for i, name in enumerate(strategies)}


def _step(sizes: pd.Series) -> float:
    return float((sizes.max() / sizes.min()) ** STEP)
