"""Scores of groups of the test images, of one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ...shared.figures.style import BAD, GOOD, INK, figure
from ..text import level
from .style import DOTTED, plain

LONGEST = 34  # letters of the name of a group


def forest(
    section: Mapping[str, Any], metrics: Mapping[str, str], overall: Mapping[str, float], confidence: float
) -> Figure:
    """A panel per metric, a block per column, a line per group; both groups of a gap that is shown are in the colour of
    errors. `metrics`: what each is called. `overall`: of all test images."""
    columns = {name: column for name, column in section["columns"].items() if sized(column)}
    lines = sum(len(sized(column)) + 1.5 for column in columns.values())
    fig, axes = figure(2.6 + 2.7 * len(metrics), 0.9 + 0.26 * lines, 1, len(metrics), sharey=True)
    y, ticks = 0.0, list[tuple[float, str]]()
    for column in columns.values():
        axes[0, 0].annotate(
            plain(column["title"]), (0, y), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", fontsize=8.5, fontweight="bold",
        )  # fmt: skip
        for group in sized(column):
            y += 1
            ticks.append((y, f"{short(group['name'])}  ({group['images']:,})"))
            for ax, metric in zip(axes[0], metrics, strict=True):
                own, gap = group["metrics"][metric], column["gaps"].get(metric, {"shown": False})
                if own["value"] is None:
                    continue
                colour = BAD if gap["shown"] and group["name"] in (gap["a"], gap["b"]) else GOOD
                if own["low"] is not None:
                    ax.plot([own["low"], own["high"]], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
                ax.plot(own["value"], y, "o", color=colour, markersize=6)
        y += 1.5
    for ax, (metric, label) in zip(axes[0], metrics.items(), strict=True):
        ax.axvline(overall[metric], **DOTTED)
        ax.set_xlabel(label)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0, labelcolor=INK)
        ax.grid(axis="x")
    axes[0, 0].set_yticks([at for at, _ in ticks], [name for _, name in ticks])
    axes[0, 0].set_ylim(y - 0.9, -0.7)
    fig.supxlabel(f"{level(confidence)} intervals; in brackets: images; dotted: all test images", fontsize=8)
    return fig


def sized(column: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The groups that are large enough for scores."""
    return [group for group in column["groups"] if group["metrics"]]


def short(name: str) -> str:
    name = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
    return plain(name)
