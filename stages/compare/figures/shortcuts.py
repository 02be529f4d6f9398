"""Whether the label can be told from what should not matter, and what a model that looks there sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...shared.figures.style import BAD, GOOD, HEAT, INK, MUTED, figure
from .style import DOTTED, plain

MEAN = "means"  # among the pictures; the others are named after their meter
TITLES = {"border": "border only", "outside": "outside the structures"}


def bars(shortcuts: Mapping[str, Any]) -> Figure:
    """AUROC of each meter with its interval; chance, and the bar above which the whole interval is a warning."""
    meters = [m for m in shortcuts["meters"] if m["reason"] is None]
    fig, axes = figure(6.4, 0.9 + 0.42 * len(meters))
    ax = axes[0, 0]
    for y, m in enumerate(meters):
        colour = BAD if m["flag"] else MUTED if m["disease"] else GOOD
        ax.plot([m["low"], m["high"]], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
        ax.plot(m["auroc"], y, "o", color=colour, markersize=7)
        ax.annotate(f"{m['auroc']:.2f}", (m["auroc"], y), (0, 6), textcoords="offset points", ha="center", color=INK)
    ax.axvline(0.5, ymax=0.88, **DOTTED)
    ax.axvline(shortcuts["bar"], ymax=0.88, color=BAD, linewidth=0.8)
    low = min(0.45, *(m["low"] for m in meters))
    ax.text(0.5, -0.85, "chance", ha="center", fontsize=8, color=MUTED)
    ax.text(shortcuts["bar"], -0.85, "bar", ha="center", fontsize=8, color=BAD)
    ax.set_yticks(range(len(meters)), [plain(m["title"]) for m in meters])
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.set(
        xlim=(low - 0.03, 1.01), ylim=(len(meters) - 0.5, -1), xlabel="AUROC of patients that the model has not seen"
    )
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    return fig


def seen(pictures: Mapping[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """A column per class and one for how much the classes differ; a row for the mean image, and one for each meter that
    looks at a part of it."""
    means = pictures[MEAN].astype(float)  # K×T×T
    parts = {"mean image": np.ones(means.shape[1:], bool)}
    parts |= {TITLES.get(name, name): enlarged(mask, means.shape[1]) for name, mask in pictures.items() if name != MEAN}
    fig, axes = figure(1.75 * (len(means) + 1) + 0.6, 1.8 * len(parts) + 0.3, len(parts), len(means) + 1)
    spread = np.ptp(means, axis=0)
    for line, (title, mask) in zip(axes, parts.items(), strict=True):
        shown = [np.where(mask, mean, np.nan) for mean in means]
        for ax, name, mean in zip(line, classes, shown, strict=False):
            ax.imshow(mean, cmap="gray", vmin=0, vmax=255)
            ax.set_title(plain(name), fontsize=8.5, loc="center", fontweight="normal")
        hidden = np.where(mask, spread, np.nan)
        drawn = line[-1].imshow(hidden, cmap=HEAT, vmin=0, vmax=max(float(np.nanmax(hidden)), 1.0))
        fig.colorbar(drawn, ax=line[-1], shrink=0.8, label="grey levels")
        line[-1].set_title("difference", fontsize=8.5, loc="center", fontweight="normal")
        line[0].set_ylabel(title, fontsize=8.5, color=INK)
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.set_facecolor("#c9d2d9")
            ax.spines[:].set_visible(False)
    return fig


def enlarged(mask: np.ndarray, side: int) -> np.ndarray:
    """A mask S×S at side × side, a multiple of S."""
    times = side // len(mask)
    return np.asarray(np.kron(mask, np.ones((times, times), bool)).astype(bool))
