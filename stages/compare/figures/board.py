"""Figures of the leaderboard: intervals, bars per class, confusion matrices. The edge saves them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...shared.figures.style import INK, PAPER, SEQUENTIAL, figure
from ..numbers.curves import confusion
from ..read import Member
from ..text import level
from .style import DOTTED, Look, mean_of, panels, plain


def intervals(board: pd.DataFrame, label: str, look: Look) -> Figure:
    """Forest plot: one block per training-set size, one line per row of the leaderboard or of the table of means.
    `label`: what the metric is called."""
    fig, axes = figure(5.6, 1.0 + 0.28 * (len(board) + 1.4 * len(look.samples)))
    ax, y, ticks = axes[0, 0], 0.0, []
    for sample in look.samples:
        rows = board[board["sample"] == sample]
        ax.annotate(
            f"{sample}: {rows.train_images.iloc[0]:,.0f} training images",
            (0, y), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", fontsize=8.5, fontweight="bold",
        )  # fmt: skip
        for row in rows.itertuples():
            y += 1
            ax.plot([row.value_low, row.value_high], [y, y], color=look.colour[row.strategy], linewidth=2.2)
            ax.plot(row.value, y, look.mark[sample][0], color=look.colour[row.strategy], markersize=7)
            ticks.append((y, f"{row.backbone}, {row.strategy}" if len(look.backbones) > 1 else row.strategy))
        y += 1.4
    ax.axvline(board.value.iloc[0], **DOTTED)
    ax.set_yticks([t for t, _ in ticks], [name for _, name in ticks])
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.set(
        ylim=(y - 0.8, -0.7),
        xlabel=f"{mean_of(board)}test {label}, {level(board.confidence[0])} interval; dotted: the first",
    )
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    return fig


def precision_recall_f1(board: pd.DataFrame, members: Mapping[str, Member], look: Look) -> Figure:
    """Bars per model with intervals: a row per class, or the positive class alone when there are two. A ratio without a
    denominator, such as the precision of a class that was never predicted, has no bar."""
    models = [members[key] for key in board.key]
    answers = models[0].answers
    classes = [answers.classes[k] for k in answers.positives]
    height = 0.9 + len(classes) * (0.35 + 0.24 * len(board))
    fig, axes = figure(9, height, len(classes), 3, sharex=True, sharey=True)
    for name, line in zip(classes, axes, strict=True):
        for ax, metric in zip(line, ("precision", "recall", "f1"), strict=True):
            estimates = [m.metrics["per_class"][name][metric] for m in models]
            value, low, high = (np.array([e[end] for e in estimates], float) for end in ("value", "low", "high"))
            ax.barh(range(len(models)), value, 0.62, color=[look.colour[s] for s in board.strategy])
            ax.hlines(range(len(models)), low, high, color=INK, linewidth=1)
            ax.grid(axis="x")
            ax.tick_params(axis="y", length=0, labelcolor=INK)
            ax.set_title(f"{metric.replace('f1', 'F1')}, {plain(name)}")
    axes[0, 0].set_yticks(range(len(board)), [look.name(row) for row in board.itertuples()])
    axes[0, 0].set(ylim=(len(board) - 0.4, -0.6), xlim=(0, 1))
    return fig


def confusions(board: pd.DataFrame, members: Mapping[str, Member], look: Look) -> Figure:
    """Counts, shaded by the share of their row."""
    classes = [plain(name) for name in members[board.key[0]].answers.classes]
    ticks, side = range(len(classes)), 1.0 + 0.55 * len(classes)
    fig, axes = panels(len(board), side + 0.7, side + 0.5)
    for i, (ax, row) in enumerate(zip(axes, board.itertuples(), strict=True)):
        counts, first = confusion(members[row.key]), i % 3 == 0
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        ax.imshow(share, cmap=SEQUENTIAL, vmin=0, vmax=1)
        for (y, x), n in np.ndenumerate(counts):
            ax.text(x, y, f"{n:,}", ha="center", va="center", color=PAPER if share[y, x] > 0.55 else INK)
        ax.set_xticks(ticks, classes)
        ax.set_yticks(ticks, classes if first else [""] * len(classes), rotation=90, va="center")
        ax.tick_params(length=0)
        ax.set(xlabel="predicted", ylabel="truth" if first else "")
        ax.spines[:].set_visible(False)
        ax.set_title(look.name(row), fontsize=9)
    return fig
