"""Figures of segmentations, image by image: a mean hides the few that fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...shared.figures.style import GRID, INK, figure
from ...shared.measures.measure import TaskMeasures
from ..read import Member
from .curves import card_history
from .style import Look, card_frame

SHOWN = {"dice": "Dice", "hd95": "HD95, pixels"}  # of each image


def cases(board: pd.DataFrame, members: Mapping[str, Member], look: Look) -> Figure:
    """One dot an image, one line a model: its mean is the long mark. Images for which a score is not defined have no
    dot."""
    fig, axes = figure(9.6, 1.0 + 0.42 * len(board), 1, len(SHOWN), sharey=True)
    for ax, (score, label) in zip(axes[0], SHOWN.items(), strict=True):
        for y, row in enumerate(board.itertuples()):
            values = defined(members[row.key], score)
            jitter = np.random.default_rng(y).uniform(-0.22, 0.22, len(values))
            ax.plot(
                values, y + jitter, "o", color=look.colour[row.strategy], markersize=3, alpha=0.45, markeredgewidth=0
            )
            if len(values):
                ax.vlines(values.mean(), y - 0.36, y + 0.36, color=INK, linewidth=1.6)
        ax.set(xlabel=f"{label} of each test image; line: the mean")
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0, labelcolor=INK)
    axes[0, 0].set_yticks(range(len(board)), [look.name(row) for row in board.itertuples()])
    axes[0, 0].set(ylim=(len(board) - 0.4, -0.6))
    return fig


def defined(m: Member, score: str) -> np.ndarray:
    """Mean over structures of every test image that has one."""
    values: np.ndarray = m.answers.image(score)
    own: np.ndarray = values[np.isfinite(values)]
    return own


def card(m: Member, members: Sequence[Member], task: TaskMeasures, colour: str) -> Figure:
    """One model: loss, validation Dice, and the share of test images up to each Dice and each HD95, among the lines of
    the other models that figures show."""
    fig, axes = card_frame((0.045, 0.2), (0.29, 0.2), (0.545, 0.2), (0.79, 0.2))
    card_history(axes[:2], m, task.watched, colour)
    for ax, (score, label) in zip(axes[2:], SHOWN.items(), strict=True):
        for other in members:
            share_below(ax, defined(other, score), GRID, 1)
        share_below(ax, defined(m, score), colour, 2)
        ax.set(xlabel=label, ylim=(-0.02, 1.02))
        ax.grid()
    axes[2].set_ylabel("share of test images up to it")
    return fig


def share_below(ax: Axes, values: np.ndarray, colour: str, width: float) -> None:
    x = np.sort(values)
    ax.plot(x, np.arange(1, len(x) + 1) / max(len(x), 1), color=colour, linewidth=width, drawstyle="steps-post")
