"""Can the probabilities be acted on? One panel for each model; and the errors among the most certain images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...shared.figures.style import MUTED
from ..read import Member
from .style import DOTTED, Look, panels

AREA = 90  # of a marker for a bin with all images, in square points per root of the share
Estimates = Sequence[Mapping[str, Any]]


def diagrams(board: pd.DataFrame, members: Mapping[str, Member], look: Look) -> Figure:
    """Reliability: the share of outcomes in each bin of probabilities, before and after calibration, with the intervals
    of the latter. Large marks: many images."""
    fig, axes = panels(len(board), 3.1, 3.2, sharex=True, sharey=True)
    for ax, row in zip(axes, board.itertuples(), strict=True):
        section, colour = members[row.key].metrics["calibration"], look.colour[row.strategy]
        ax.plot([0, 1], [0, 1], **DOTTED)
        marks(ax, section["before"]["bins"], facecolors="none", edgecolors=MUTED)
        bins = section["after"]["bins"]
        low, high = ([b["outcome"][end] for b in bins] for end in ("low", "high"))
        ax.vlines([b["score"] for b in bins], low, high, color=colour, linewidth=0.8, alpha=0.5)
        marks(ax, bins, color=colour, alpha=0.85, linewidths=0)
        ax.set_title(look.name(row), fontsize=9)
        ax.text(
            0.03, 0.97, f"ECE {section['before']['ece']['value']:.3f} → {section['after']['ece']['value']:.3f}",
            transform=ax.transAxes, va="top", fontsize=8,
        )  # fmt: skip
        ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        ax.grid()
    handles = [
        Line2D([], [], linestyle="", marker="o", markerfacecolor="none", markeredgecolor=MUTED, label="before"),
        Line2D([], [], linestyle="", marker="o", color=look.colour[board.strategy.iloc[0]], label="after"),
    ]
    axes[0].legend(handles=handles, loc="lower right")
    fig.supxlabel("probability that the model gives", fontsize=9)
    fig.supylabel("share that it is true of", fontsize=9)
    return fig


def marks(ax: Axes, bins: Estimates, **style: Any) -> None:
    images = np.array([b["images"] for b in bins])
    size = AREA * (images / images.sum()) ** 0.5
    ax.scatter([b["score"] for b in bins], [b["outcome"]["value"] for b in bins], size, zorder=3, **style)


def decision_curves(board: pd.DataFrame, members: Mapping[str, Member], name: str, look: Look) -> Figure:
    """Net benefit over the threshold. `name`: of the class that is acted on."""
    fig, axes = panels(len(board), 3.1, 2.6, sharex=True, sharey=True)
    highest = 0.0
    for ax, row in zip(axes, board.itertuples(), strict=True):
        section = members[row.key].metrics["decision_curve"]
        x, own, colour = section["thresholds"], section["per_class"][name], look.colour[row.strategy]
        value, low, high = ([e[end] for e in own["net_benefit"]] for end in ("value", "low", "high"))
        ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.plot(x, [e["value"] for e in own["treat_all"]], color=MUTED, linewidth=1, label="treat all")
        ax.plot([0, 1], [0, 0], **DOTTED, label="treat none")
        ax.plot(x, value, color=colour, label="the model")
        ax.set_title(look.name(row), fontsize=9)
        ax.grid()
        highest = max(highest, *high)
    axes[0].set(xlim=(0, 1), ylim=(-0.25 * highest, 1.05 * highest))
    axes[0].legend(loc="upper right", handlelength=1.2)
    fig.supxlabel("probability from which on one acts", fontsize=9)
    fig.supylabel("net benefit", fontsize=9)
    return fig


def risk_coverage(board: pd.DataFrame, members: Mapping[str, Member], look: Look) -> Figure:
    """Error rate among the most certain images over their share, one panel per backbone."""
    fig, axes = panels(len(look.backbones), 4.6, 3.6, sharex=True, sharey=True)
    for ax, backbone in zip(axes, look.backbones, strict=True):
        for row in board[board.backbone == backbone].itertuples():
            curve = members[row.key].metrics["abstention"]["curve"]
            x, colour = [p["share"] for p in curve], look.colour[row.strategy]
            value, line = [p["error"]["value"] for p in curve], look.mark[row.sample][1]
            ax.plot(x, value, color=colour, linestyle=line, label=f"{row.strategy}, {row.sample}")
        ax.set_title(backbone if len(look.backbones) > 1 else "")
        ax.set(xlim=(0, 1.02), ylim=(0, None), xlabel="share of the images that the model answers")
        ax.grid()
        ax.legend(loc="upper left", handlelength=2.4)
    axes[0].set(ylim=(0, 1.75 * axes[0].get_ylim()[1]), ylabel="error rate among them")  # room for the legend
    return fig
