"""The maps of one model's features, for papers: t-SNE and PCA, coloured by class, by use and by right and wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...shared.figures.style import BAD, GOOD, GRID, colours, figure
from ..read import Member
from .style import plain

USES = {"train": "train", "unused": "left out", "val": "validation", "test": "test"}
USE_COLOURS = {"train": "#0072b2", "unused": "#7b838c", "val": "#e69f00", "test": "#d55e00"}
Groups = dict[str, tuple[np.ndarray, str]]  # name -> (N booleans: which points, colour)


def maps(m: Member, labels: Mapping[str, str], classes: Sequence[str]) -> Figure:
    """A row of panels for each kind of map. labels: class of an image by its path."""
    fig, axes = figure(9, 6.3, 2, 3)
    points, shares = m.points, m.embed["maps"]["explained"]
    panels = {"class": by_class(points, labels, classes), "split": by_use(points)}
    if outcome := by_outcome(points, labels):
        panels["prediction"] = outcome
    for line, (kind, name) in zip(axes, (("tsne", "t-SNE"), ("pca", "PCA")), strict=True):
        for ax, (title, groups) in zip(line, panels.items(), strict=False):
            scatter(ax, points[[f"{kind}_x", f"{kind}_y"]].to_numpy(float), groups)
            ax.set_title(f"{name}, by {title}", pad=22 if kind == "tsne" else 6)
            if kind == "tsne":
                ax.legend(
                    loc="lower left", bbox_to_anchor=(-0.02, 0.99), ncols=4, columnspacing=0.6, handletextpad=-0.3
                )
        if kind == "pca":
            for ax in line[: len(panels)]:
                ax.set_xlabel(f"PC1, {100 * shares[0]:.0f}% of the variance")
            line[0].set_ylabel(f"PC2, {100 * shares[1]:.0f}%")
        for ax in line[len(panels) :]:
            ax.set_visible(False)
    fig.suptitle(str(m.key), x=0.01, ha="left", fontsize=10)
    return fig


def scatter(ax: Axes, at: np.ndarray, groups: Groups) -> None:
    for name, (rows, colour) in groups.items():
        x, y = at[rows].T
        ax.plot(x, y, "o", color=colour, markersize=3, alpha=0.75, markeredgewidth=0, label=plain(name))
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def by_class(points: pd.DataFrame, labels: Mapping[str, str], classes: Sequence[str]) -> Groups:
    own, colour = points["path"].map(labels).to_numpy(), colours(classes)
    return {name: (own == name, colour[name]) for name in classes}


def by_use(points: pd.DataFrame) -> Groups:
    use = points["use"].to_numpy()
    return {USES[name]: (use == name, colour) for name, colour in USE_COLOURS.items() if (use == name).any()}


def by_outcome(points: pd.DataFrame, labels: Mapping[str, str]) -> Groups:
    """Of validation and test images; empty where the model predicts no class."""
    if "predicted" not in points:
        return {}
    judged = points["predicted"].notna().to_numpy()
    right = (points["predicted"] == points["path"].map(labels)).to_numpy()
    return {
        "not judged": (~judged, GRID),
        "right": (judged & right, GOOD),
        "wrong": (judged & ~right, BAD),
    }
