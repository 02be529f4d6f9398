"""What every figure of a comparison agrees on: colours, marks and names of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...shared.figures.style import INK, MUTED, figure, sample_marks, strategy_colours
from ..read import KNN

DOTTED: dict[str, Any] = {"color": MUTED, "linewidth": 0.8, "linestyle": (0, (2, 3))}


class Look:
    """Colour per strategy, marker and line style per sample, a short name per model.

    `board` may be a part of the `whole` leaderboard: a strategy keeps the colour that it has there, and
    backbones their order."""

    def __init__(self, board: pd.DataFrame, whole: pd.DataFrame | None = None) -> None:
        self.strategies = list(dict.fromkeys(board.strategy))
        self.samples = list(dict.fromkeys(board.sort_values("train_images", kind="stable")["sample"]))
        whole = board if whole is None else whole
        self.backbones = [name for name in dict.fromkeys(whole.backbone) if name in set(board.backbone)]
        names = list(dict.fromkeys(whole.strategy))  # neighbours have the colour of their model's strategy
        colour = strategy_colours(list(dict.fromkeys(name.removesuffix(KNN) for name in names)))
        self.colour = {name: colour[name.removesuffix(KNN)] for name in names}
        self.mark = sample_marks(self.samples)

    def name(self, row: Any) -> str:
        parts = [row.backbone] if len(self.backbones) > 1 else []
        parts += [row.strategy] if len(self.strategies) > 1 or not parts else []
        return ", ".join(parts + ([row.sample] if len(self.samples) > 1 else []))


def rows_around_zero(ax: Axes, names: Sequence[str], label: str) -> None:
    """The axes of a figure of differences, one named row each, the first on top."""
    ax.axvline(0, **DOTTED)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.set(ylim=(len(names) - 0.4, -0.6), xlabel=label)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")


def panels(count: int, width: float, height: float, **grid: Any) -> tuple[Figure, list[Axes]]:
    """`count` panels of `width` × `height` inches, three in a line; places that are left over stay empty."""
    cols = min(count, 3)
    rows = -(-count // cols)
    fig, axes = figure(width * cols, height * rows, rows, cols, **grid)
    for ax in axes.flat[count:]:
        ax.set_visible(False)
    return fig, list(axes.flat[:count])


def mean_of(board: pd.DataFrame) -> str:
    """What an axis label puts before the name of a metric."""
    return "mean " if "seeds" in board and (board.seeds > 1).any() else ""


def plain(text: str) -> str:
    """A class name is data: a dollar sign in it is no mathematics."""
    return text.replace("$", r"\$")


def card_frame(*places: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """Of one model: a figure with a panel at each place, (left, width) as shares of its own width."""
    fig, axes = figure(11, 2.7, 1, len(places))
    fig.set_layout_engine(None)  # there is one per model, and constrained layout takes half their time
    for ax, (left, width) in zip(axes[0], places, strict=True):
        ax.set_position((left, 0.175, width, 0.795))
    return fig, list(axes[0])
