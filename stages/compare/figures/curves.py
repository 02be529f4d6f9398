"""Figures along an axis of epochs or thresholds: training histories, ROC and precision–recall curves, and all three for
one model. Of several classes, curves are means over one class versus the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ...shared.figures.style import GRID, MUTED, colours, figure
from ...shared.measures.measure import Curve, TaskMeasures
from ..numbers.curves import Line, lines
from ..read import Member
from .style import DOTTED, Look, card_frame, panels, plain

DASHED: dict[str, Any] = {"color": MUTED, "linewidth": 1.2, "linestyle": "--"}


def by_backbone(
    board: pd.DataFrame, by_key: Mapping[str, Line], curve: Curve, label: str, prevalence: float, look: Look
) -> Figure:
    """Every model's curve, one panel per backbone. Dotted: a model that guesses. `label`: of the area below."""
    fig, axes = panels(len(look.backbones), 4.6, 4.5)
    for ax, backbone in zip(axes, look.backbones, strict=True):
        for row in board[board.backbone == backbone].to_dict("records"):
            ax.plot(
                *by_key[row["key"]], color=look.colour[row["strategy"]], linestyle=look.mark[row["sample"]][1],
                drawstyle=drawstyle_of(curve), gid=row["key"],
                label=f"{row['strategy']}, {row['sample']}  {row[curve.metric]:.3f}",
            )  # fmt: skip
        ax.set_title(backbone)
        unit_square(ax, curve, prevalence)
        ax.legend(
            loc=curve.free_corner, title=f"test {label}", title_fontsize=8, handlelength=2.4,
            alignment="right" if curve.free_corner.endswith("right") else "left",
        )  # fmt: skip
    return fig


def drawstyle_of(curve: Curve) -> str:
    return "steps-pre" if curve.steps else "default"


def unit_square(ax: Axes, curve: Curve, prevalence: float) -> None:
    ax.plot([0, 1], curve.chance(prevalence), **DOTTED)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel=curve.x_label, ylabel=curve.y_label)
    ax.grid()


def histories(board: pd.DataFrame, members: Mapping[str, Member], look: Look, watched: Mapping[str, str]) -> Figure:
    """Small multiples: above the loss, below the `watched` metrics of the validation split, one column per model."""
    cols = min(len(board), 3)
    rows = -(-len(board) // cols)
    fig, axes = figure(3.1 * cols, 3.2 * rows, 2 * rows, cols, sharex=True, sharey=False)
    for ax in axes.flat:
        ax.set_visible(False)
    lowest = min(members[key].history[list(watched)].min().min() for key in board.key)
    for i, row in enumerate(board.itertuples()):
        upper, lower = axes[2 * (i // cols) : 2 * (i // cols) + 2, i % cols]
        history(upper, lower, members[row.key], watched, look.colour[row.strategy])
        upper.set_title(look.name(row), fontsize=9)
        lower.set_ylim(min(0.4, lowest - 0.02), 1.02)
    fig.supxlabel("epoch (dotted: the one kept)", fontsize=9)
    return fig


def history(upper: Axes, lower: Axes, m: Member, watched: Mapping[str, str], colour: str) -> None:
    h, best = m.history, m.summary.get("best_epoch")
    epoch, last = h.epoch + m.epoch_offset, list(watched)[-1]
    upper.plot(epoch, h.train_loss, label="training loss", **DASHED)
    upper.plot(epoch, h.val_loss, color=colour, label="validation loss")
    for name, label in watched.items():
        lower.plot(epoch, h[name], label=label, **({"color": colour} if name == last else DASHED))
    for ax in (upper, lower):
        ax.set_visible(True)
        if best is not None:
            ax.axvline(best + m.epoch_offset, **DOTTED)
        ax.grid(axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.legend(loc="best", handlelength=1.2)


def card_history(axes: Sequence[Axes], m: Member, watched: Mapping[str, str], colour: str) -> None:
    """In two panels of a card."""
    upper, lower = axes
    history(upper, lower, m, watched, colour)
    for ax in axes:
        ax.set_xlabel("epoch (dotted: the one kept)")


def card(
    m: Member,
    task: TaskMeasures,
    mean_lines: Mapping[str, Mapping[str, Line]],
    prevalence: float,
    colour_of: Mapping[str, str],
) -> Figure:
    """One model: loss, validation metrics, and its curves among those of the other models that figures show. With
    several classes, a thin line per class."""
    colour = colour_of[m.key.strategy]
    fig, axes = card_frame((0.045, 0.2), (0.29, 0.2), (0.53, 0.22), (0.775, 0.22))
    card_history(axes[:2], m, task.watched, colour)
    class_colour = colours(list(m.answers.ranked)) if len(m.answers.ranked) > 1 else {}
    for ax, (name, curve) in zip(axes[2:], task.curves.items(), strict=True):
        drawstyle = drawstyle_of(curve)
        for line in mean_lines[name].values():
            ax.plot(*line, color=GRID, linewidth=1, drawstyle=drawstyle)
        for group, line in lines(m, curve).items() if class_colour else ():
            ax.plot(*line, color=class_colour[group], linewidth=0.9, drawstyle=drawstyle)
        label, gid = str(m.key), f"{name}-{m.key}"
        ax.plot(*mean_lines[name][label], color=colour, linewidth=2, drawstyle=drawstyle, label=label, gid=gid)
        unit_square(ax, curve, prevalence)
    handles = [Line2D([], [], color=colour, label="this model"), Line2D([], [], color=GRID, label="other models")]
    handles += [Line2D([], [], color=c, linewidth=1, label=plain(n)) for n, c in class_colour.items()]
    axes[2].legend(handles=handles, loc="lower right", handlelength=1.2)
    return fig
