"""Test films, and what every model read in them. Drawn without a look at any prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ...shared.figures.style import BAD, GOOD, INK, MUTED, figure
from ..read import Data, Member
from .style import plain

LINE = 17  # points between two models' readings


def choose(first: Member, count: int, seed: int) -> list[int]:
    """Rows of `Member.test`: films of different patients, classes in turn."""
    order = np.random.default_rng(seed).permutation(len(first.truth))
    shuffled = first.test.iloc[order].assign(row=order, truth=first.truth[order]).drop_duplicates("patient")
    shuffled["turn"] = shuffled.groupby("truth").cumcount()
    return [int(row) for row in shuffled.sort_values(["turn", "truth"])["row"].head(count)]


def pixels_of(data: Data, first: Member, rows: Sequence[int]) -> list[np.ndarray]:
    """(H, W, C) uint8 for each row of `Member.test`."""
    position = {path: i for i, path in enumerate(data.index["path"])}
    return [np.asarray(data.images[position[first.test["path"].iloc[row]]]) for row in rows]


def sheet(pixels: Sequence[np.ndarray], rows: Sequence[int], models: dict[str, Member]) -> Figure:
    """The static version of the page's panel: films on top, below each what every model read. `models` by label."""
    fig, axes = figure(1.9 + 1.35 * len(rows), 1.9 + 0.26 * len(models), 1, len(rows))
    first = next(iter(models.values()))
    for ax, film, i in zip(axes[0], pixels, rows, strict=True):
        ax.imshow(film.squeeze(), cmap="gray", vmin=0, vmax=255)
        ax.set_axis_off()
        ax.set_title(plain(first.classes[first.truth[i]]), fontsize=8, loc="center")
        for line, m in enumerate(models.values()):
            right = m.predicted[i] == m.truth[i]
            ax.annotate(
                f"{'✓' if right else '✗'} {m.probabilities[i, m.truth[i]]:.2f}", (0.5, 0), (0, -6 - LINE * line),
                xycoords="axes fraction", textcoords="offset points", ha="center", va="top", fontsize=7.5,
                color=GOOD if right else BAD,
            )  # fmt: skip
    beside = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right", "fontsize": 7.5}
    for line, name in enumerate(models):
        axes[0, 0].annotate(name, (0, 0), (-8, -6 - LINE * line), va="top", color=INK, **beside)
    axes[0, 0].annotate("probability of the true class", (0, 0.5), (-8, 0), color=MUTED, **beside)
    return fig
