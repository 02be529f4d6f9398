"""The history of one training, and its plan, drawn."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.patches import Rectangle

from ..shared.figures import rates
from ..shared.figures.style import INK, MUTED, colours, figure, save


def draw_history(table: pd.DataFrame, best_epoch: int, name: str, path: Path) -> Path:
    """Losses, and accuracy and AUROC on the validation patients; the kept epoch is marked."""
    fig, axes = figure(9, 3.4, cols=2)
    panels = (("loss", {"train_loss": "train", "val_loss": "validation"}),
              ("validation", {"val_auroc": "AUROC", "val_accuracy": "accuracy"}))  # fmt: skip
    epochs = table["epoch"] + 1
    for ax, (title, curves) in zip(axes[0], panels, strict=True):
        for (column, label), colour in zip(curves.items(), colours(list(curves)).values(), strict=True):
            ax.plot(epochs, table[column], color=colour, marker="o", markersize=3, label=label)
        ax.axvline(best_epoch + 1, color=MUTED, linewidth=1, linestyle=":")
        ax.set(title=title, xlabel="epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(axis="y")
        ax.legend()
    axes[0, 1].annotate(
        "kept", (best_epoch + 1, 1), xycoords=("data", "axes fraction"), xytext=(3, -8),
        textcoords="offset points", color=MUTED, fontsize=8,
    )  # fmt: skip
    fig.suptitle(name, x=0.01, ha="left", fontsize=10, color=MUTED)
    return save(fig, path)


def draw_plan(table: pd.DataFrame, kept_epoch: int, name: str, path: Path) -> Path:
    """Epochs × blocks, colour: learning rate; `table` as plan_table makes it. The kept epoch, from 0, is outlined."""
    shown, norm = rates.grid(table), rates.scale([table])
    blocks, epochs = shown.shape
    fig, axes = figure(min(3.2 + 0.16 * epochs, 9), 1.35 + 0.24 * blocks)
    ax = axes[0, 0]
    rates.draw(ax, shown, norm)
    ax.set(xlabel="epoch (hatched: frozen)")
    ax.add_patch(Rectangle((kept_epoch + 0.5, -0.5), 1, blocks, fill=False, edgecolor=INK, linewidth=1))
    above = {"textcoords": "offset points", "color": MUTED, "annotation_clip": False}
    ax.annotate("kept", (kept_epoch + 1, -0.5), (0, 2), ha="center", fontsize=8, **above)
    ax.annotate("highest", (epochs + 0.5, -0.5), (3, 2), fontsize=6.5, **above)
    rates.legend(fig, axes, norm, shrink=0.9, aspect=14, pad=0.03)
    fig.suptitle(name, x=0.01, ha="left", fontsize=10, color=MUTED)
    return save(fig, path)
