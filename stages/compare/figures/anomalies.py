"""Scores of normal images and of others, with the threshold between them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...shared.figures.style import BAD, GOOD, GRID, INK
from ...shared.measures.measure import TaskMeasures
from ..numbers.curves import Line
from ..read import Member
from .curves import card_history, drawstyle_of, unit_square
from .style import Look, card_frame, panels

BINS = 24
LAST = 98  # percentile of all scores at which the last bin ends; what lies above is counted in it
KINDS = (("normal", GOOD), ("anomalous", BAD))


def histograms(board: pd.DataFrame, members: Mapping[str, Member], look: Look) -> Figure:
    """One panel a model: the share of the normal and of the anomalous test images in each range of scores."""
    fig, axes = panels(len(board), 3.5, 2.5)
    for i, (ax, row) in enumerate(zip(axes, board.itertuples(), strict=True)):
        histogram(ax, members[row.key])
        ax.set_title(look.name(row), fontsize=9)
        ax.set_ylabel("share of the images" if i % 3 == 0 else "")
        ax.set_xlabel("score")
    axes[0].legend(loc="best", handlelength=1)
    return fig


def histogram(ax: Axes, m: Member) -> None:
    score, anomalous = m.answers.score, m.answers.anomalous
    threshold = float(m.test["threshold"].iloc[0])
    low, high = min(score.min(), threshold), max(np.percentile(score, LAST), threshold)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    for (name, colour), own in zip(KINDS, (score[~anomalous], score[anomalous]), strict=True):
        weights = np.full(len(own), 1 / max(len(own), 1))
        heights, _ = np.histogram(np.clip(own, edges[0], edges[-1]), edges, weights=weights)
        ax.stairs(heights, edges, fill=True, color=colour, alpha=0.25)
        ax.stairs(heights, edges, color=colour, linewidth=1.4, label=name)
    ax.axvline(threshold, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), label="threshold")
    ax.grid(axis="y")
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(MaxNLocator(5))


def card(
    m: Member, task: TaskMeasures, mean_lines: Mapping[str, Mapping[str, Line]], prevalence: float, colour: str
) -> Figure:
    """One model: its scores, and its ROC curve among those of the other models that figures show; of one that learned
    in epochs, its history too."""
    fig, axes = card_frame((0.06, 0.19), (0.31, 0.19), (0.55, 0.19), (0.79, 0.19))
    histogram(axes[0], m)
    axes[0].set(xlabel="score", ylabel="share of the images")
    axes[0].legend(loc="best", handlelength=1.2)
    curve = task.curves["roc"]
    for line in mean_lines["roc"].values():
        axes[1].plot(*line, color=GRID, linewidth=1, drawstyle=drawstyle_of(curve))
    axes[1].plot(*mean_lines["roc"][str(m.key)], color=colour, linewidth=2, drawstyle=drawstyle_of(curve))
    unit_square(axes[1], curve, prevalence)
    if m.learned:
        card_history(axes[2:], m, task.watched, colour)
    else:
        for ax in axes[2:]:
            ax.set_visible(False)
    return fig
