"""The history of one training, drawn."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..shared.plots import MUTED, colours, figure, save


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
