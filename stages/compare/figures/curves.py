"""Figures along an axis of epochs or thresholds: training histories, ROC and precision–recall curves, and all three for
one model. Of several classes, curves are means over one class versus the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ...shared.figures.style import GRID, MUTED, colours, figure
from ..numbers import curves as numbers
from ..numbers.curves import Curve
from ..read import Member
from .style import DOTTED, Look, panels, plain

Curves = Mapping[str, Curve]  # by key
STEPS = "steps-pre"
DASHED: dict[str, Any] = {"color": MUTED, "linewidth": 1.2, "linestyle": "--"}


def roc(board: pd.DataFrame, curves: Curves, look: Look) -> Figure:
    """Every model's curve, one panel per backbone."""
    fig, axes = _by_backbone(board, curves, look, "auroc", "default")
    for ax in axes:
        _roc_axes(ax)
        ax.legend(loc="lower right", title="test AUROC", title_fontsize=8, alignment="right", handlelength=2.4)
    return fig


def precision_recall(board: pd.DataFrame, curves: Curves, prevalence: float, look: Look) -> Figure:
    """Every model's curve, one panel per backbone. Dotted: a model that guesses has the prevalence as its precision."""
    fig, axes = _by_backbone(board, curves, look, "auprc", STEPS)
    for ax in axes:
        _precision_recall_axes(ax, prevalence)
        ax.legend(loc="lower left", title="test AUPRC", title_fontsize=8, alignment="left", handlelength=2.4)
    return fig


def _by_backbone(
    board: pd.DataFrame, curves: Curves, look: Look, metric: str, drawstyle: str
) -> tuple[Figure, list[Axes]]:
    fig, axes = panels(len(look.backbones), 4.6, 4.5)
    for ax, backbone in zip(axes, look.backbones, strict=True):
        for row in board[board.backbone == backbone].to_dict("records"):
            ax.plot(
                *curves[row["key"]], color=look.colour[row["strategy"]], linestyle=look.mark[row["sample"]][1],
                drawstyle=drawstyle, label=f"{row['strategy']}, {row['sample']}  {row[metric]:.3f}",
            )  # fmt: skip
        ax.set_title(backbone)
    return fig, axes


def _roc_axes(ax: Axes) -> None:
    ax.plot([0, 1], [0, 1], **DOTTED)
    _unit(ax)
    ax.set(xlabel="1 − specificity (false positives)", ylabel="sensitivity (true positives)")


def _precision_recall_axes(ax: Axes, prevalence: float) -> None:
    ax.axhline(prevalence, **DOTTED)
    _unit(ax)
    ax.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)")


def _unit(ax: Axes) -> None:
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.grid()


def histories(board: pd.DataFrame, members: Mapping[str, Member], look: Look) -> Figure:
    """Small multiples: above the loss, below accuracy and AUROC on the validation split, one column per model."""
    cols = min(len(board), 3)
    rows = -(-len(board) // cols)
    fig, axes = figure(3.1 * cols, 3.2 * rows, 2 * rows, cols, sharex=True, sharey=False)
    for ax in axes.flat:
        ax.set_visible(False)
    lowest = min(members[key].history[["val_auroc", "val_accuracy"]].min().min() for key in board.key)
    for i, row in enumerate(board.itertuples()):
        upper, lower = axes[2 * (i // cols) : 2 * (i // cols) + 2, i % cols]
        _history(upper, lower, members[row.key], look.colour[row.strategy])
        upper.set_title(look.name(row), fontsize=9)
        lower.set_ylim(min(0.4, lowest - 0.02), 1.02)
    fig.supxlabel("epoch (dotted: the one kept)", fontsize=9)
    return fig


def _history(upper: Axes, lower: Axes, m: Member, colour: str) -> None:
    h, best = m.history, m.summary.get("best_epoch")
    epoch = h.epoch + m.epoch_offset
    upper.plot(epoch, h.train_loss, label="training loss", **DASHED)
    upper.plot(epoch, h.val_loss, color=colour, label="validation loss")
    lower.plot(epoch, h.val_accuracy, label="validation accuracy", **DASHED)
    lower.plot(epoch, h.val_auroc, color=colour, label="validation AUROC")
    for ax in (upper, lower):
        ax.set_visible(True)
        if best is not None:
            ax.axvline(best + m.epoch_offset, **DOTTED)
        ax.grid(axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.legend(loc="best", handlelength=1.2)


def card(m: Member, rocs: Curves, precision_recalls: Curves, prevalence: float, look: Look) -> Figure:
    """One model: loss, validation metrics, and its curves among those of the other models that figures show. With
    several classes, a thin line per class."""
    colour, key = look.colour[m.key.strategy], str(m.key)
    fig, axes = figure(11, 2.7, 1, 4)
    fig.set_layout_engine("none")  # there is one per model, and constrained layout takes half their time
    for ax, left, width in zip(axes[0], (0.045, 0.29, 0.53, 0.775), (0.2, 0.2, 0.22, 0.22), strict=True):
        ax.set_position((left, 0.175, width, 0.795))
    _history(axes[0, 0], axes[0, 1], m, colour)
    for ax in axes[0, :2]:
        ax.set_xlabel("epoch (dotted: the one kept)")
    _among(axes[0, 2], rocs, key, colour, numbers.roc(m), "default")
    _roc_axes(axes[0, 2])
    _among(axes[0, 3], precision_recalls, key, colour, numbers.precision_recall(m), STEPS)
    _precision_recall_axes(axes[0, 3], prevalence)
    handles = [Line2D([], [], color=colour, label="this model"), Line2D([], [], color=GRID, label="other models")]
    if len(m.classes) > 2:
        handles += [Line2D([], [], color=c, linewidth=1, label=plain(n)) for n, c in colours(m.classes).items()]
    axes[0, 2].legend(handles=handles, loc="lower right", handlelength=1.2)
    return fig


def _among(ax: Axes, curves: Curves, key: str, colour: str, per_class: pd.DataFrame, drawstyle: str) -> None:
    """The curve of model `key` over those of the others. `per_class`: columns class, x, y."""
    for curve in curves.values():
        ax.plot(*curve, color=GRID, linewidth=1, drawstyle=drawstyle)
    groups = list(per_class.groupby("class", sort=False))
    class_colour = colours([str(name) for name, _ in groups])
    for name, rows in groups if len(groups) > 1 else ():
        ax.plot(rows.iloc[:, 1], rows.iloc[:, 2], color=class_colour[str(name)], linewidth=0.9, drawstyle=drawstyle)
    ax.plot(*curves[key], color=colour, linewidth=2, drawstyle=drawstyle)
