"""Figures along an axis of epochs or thresholds: training histories, ROC curves, and both for one model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ...shared.figures.style import GRID, MUTED, figure
from ..numbers.curves import roc as roc_table
from ..read import Member
from .style import DOTTED, Look

Curve = tuple[np.ndarray, np.ndarray]


def mean_roc(m: Member) -> Curve:
    """(fpr, tpr); several classes: the mean height of their curves, with every vertical rise kept vertical."""
    curves = [(rows.fpr.to_numpy(), rows.tpr.to_numpy()) for _, rows in roc_table(m).groupby("class", sort=False)]
    if len(curves) == 1:
        return curves[0]
    at = np.unique(np.concatenate([fpr for fpr, _ in curves]))
    high = np.mean([np.interp(at, fpr, tpr) for fpr, tpr in curves], axis=0)  # at a rise, interp takes its end
    low = np.mean([np.interp(-at, -fpr[::-1], tpr[::-1]) for fpr, tpr in curves], axis=0)  # mirrored, its beginning
    return np.repeat(at, 2), np.stack([low, high], 1).ravel()


def roc(board: pd.DataFrame, curves: Mapping[str, Curve], look: Look) -> Figure:
    """Every model's curve (by key), one panel per backbone; several classes: the mean of one-versus-rest curves."""
    cols = min(len(look.backbones), 3)
    rows = -(-len(look.backbones) // cols)
    fig, axes = figure(4.6 * cols, 4.5 * rows, rows, cols)
    for ax in list(axes.flat)[len(look.backbones) :]:
        ax.set_visible(False)
    for ax, backbone in zip(axes.flat, look.backbones, strict=False):
        for row in board[board.backbone == backbone].itertuples():
            style = look.mark[row.sample][1]
            label = f"{row.strategy}, {row.sample}  {row.auroc:.3f}"
            ax.plot(*curves[row.key], color=look.colour[row.strategy], linestyle=style, label=label)
        unit(ax)
        ax.set_title(backbone)
        ax.legend(loc="lower right", title="test AUROC", title_fontsize=8, alignment="right", handlelength=2.4)
    return fig


def histories(board: pd.DataFrame, members: Mapping[str, Member], look: Look) -> Figure:
    """Small multiples: above the loss, below the validation AUROC, one column per model."""
    cols = min(len(board), 3)
    rows = -(-len(board) // cols)
    fig, axes = figure(3.1 * cols, 3.2 * rows, 2 * rows, cols, sharex=True, sharey=False)
    for ax in axes.flat:
        ax.set_visible(False)
    for i, row in enumerate(board.itertuples()):
        upper, lower = axes[2 * (i // cols) : 2 * (i // cols) + 2, i % cols]
        history(upper, lower, members[row.key], look.colour[row.strategy])
        upper.set_title(look.name(row), fontsize=9)
        lower.set_ylim(0.4, 1.02)
    fig.supxlabel("epoch (dotted: the one kept)", fontsize=9)
    return fig


def history(upper: Axes, lower: Axes, m: Member, colour: str) -> None:
    h, best = m.history, m.summary.get("best_epoch")
    epoch = h.epoch + m.epoch_offset
    upper.plot(epoch, h.train_loss, color=MUTED, linewidth=1.2, linestyle="--", label="training loss")
    upper.plot(epoch, h.val_loss, color=colour, label="validation loss")
    lower.plot(epoch, h.val_auroc, color=colour, label="validation AUROC")
    for ax in (upper, lower):
        ax.set_visible(True)
        if best is not None:
            ax.axvline(best + m.epoch_offset, **DOTTED)
        ax.grid(axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.legend(loc="best", handlelength=1.2)


def card(m: Member, curves: Mapping[str, Curve], look: Look) -> Figure:
    """One model: loss, validation AUROC, and its ROC curve among `curves`, those of the models that figures show."""
    colour = look.colour[m.key.strategy]
    fig, axes = figure(9, 2.9, 1, 3)
    fig.set_layout_engine("none")  # there is one per model, and constrained layout takes half their time
    for ax, left, width in zip(axes[0], (0.055, 0.39, 0.72), (0.27, 0.27, 0.275), strict=True):
        ax.set_position((left, 0.165, width, 0.8))
    history(axes[0, 0], axes[0, 1], m, colour)
    for ax in axes[0, :2]:
        ax.set_xlabel("epoch (dotted: the one kept)")
    for curve in curves.values():
        axes[0, 2].plot(*curve, color=GRID, linewidth=1)
    axes[0, 2].plot(*curves[str(m.key)], color=colour, linewidth=2)
    unit(axes[0, 2])
    handles = [Line2D([], [], color=colour, label="test ROC"), Line2D([], [], color=GRID, label="other models")]
    axes[0, 2].legend(handles=handles, loc="lower right", handlelength=1.2)
    return fig


def unit(ax: Axes) -> None:
    ax.plot([0, 1], [0, 1], **DOTTED)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set(xlabel="1 − specificity (false positives)", ylabel="sensitivity (true positives)")
    ax.grid()
