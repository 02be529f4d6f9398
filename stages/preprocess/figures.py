"""What was done to the images, and what went where: two figures to look at before anything is trained."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..shared.arrays.preprocessing import Preprocessor
from ..shared.core.paths import report_dir
from ..shared.figures.style import INK, MUTED, colours, figure, save
from ..shared.images.archive import Archive
from .split import patients_known

PAIRS = 3  # images per class
PARTS = ("train", "val", "test")


def draw(index: pd.DataFrame, archive: Archive, make: Preprocessor) -> tuple[Path, Path]:
    folder = report_dir("preprocess")
    return before_after(folder / "before_after.png", index, archive, make), counts(folder / "split.png", index)


def before_after(path: Path, index: pd.DataFrame, archive: Archive, make: Preprocessor) -> Path:
    """A row per class, and in it pairs of an image as it lies in the archive and as a model sees it."""
    classes = list(index["label"].cat.categories)
    widths = [1, 1, 0.12] * (PAIRS - 1) + [1, 1]  # a gap after each pair
    fig, axes = figure(1.6 * 2 * PAIRS + 0.9, 1.82 * len(classes) + 0.2, len(classes), len(widths), width_ratios=widths)
    fig.set_layout_engine("constrained", w_pad=0.05, h_pad=0.05, wspace=0, hspace=0)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, label in zip(axes, classes, strict=True):
        for k, name in enumerate(_spread(index[(index["label"] == label) & (index["split"] == "train")])):
            data = archive.read(name)
            _show(row[3 * k], make.original(data, name), "original")
            _show(row[3 * k + 1], make(data, name), "preprocessed")
        row[0].text(-0.08, 0.5, textwrap.fill(label, 16), transform=row[0].transAxes, rotation=90, ha="right",
                    va="center", fontsize=10, fontweight="bold", color=INK)  # fmt: skip
    return save(fig, path)


def _spread(rows: pd.DataFrame) -> list[str]:
    """Paths of different patients, evenly from first to last."""
    paths = rows.drop_duplicates("patient")["path"].tolist()
    places = np.linspace(0, len(paths) - 1, 2 * PAIRS + 1).round().astype(int)[1::2]
    return [paths[i] for i in dict.fromkeys(places)]


def _show(axis: Axes, image: np.ndarray, what: str) -> None:
    height, width, channels = image.shape
    axis.imshow(image[..., 0] if channels == 1 else image, cmap="gray", vmin=0, vmax=255)
    side = max(height, width) / 2  # the same square for every image, so that the rows line up
    axis.set_xlim(width / 2 - side - 0.5, width / 2 + side - 0.5)
    axis.set_ylim(height / 2 + side - 0.5, height / 2 - side - 0.5)
    axis.set_title(f"{what}, {width}×{height}", fontsize=7, fontweight="normal", color=MUTED, loc="center")


def counts(path: Path, index: pd.DataFrame) -> Path:
    """Left: images per split, stacked by class, with patients (or groups, if unknown). Right: the same per fold."""
    classes = list(index["label"].cat.categories)
    fold = index["fold"].map(lambda k: "test" if k < 0 else f"fold {k}")
    folds = [f"fold {k}" for k in range(index["fold"].max() + 1)]
    height = 1.3 + 0.32 * max(len(PARTS), len(folds) + 1)
    fig, axes = figure(9.6, height, 1, 2)
    fig.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08)
    _bars(axes[0, 0], "Split", PARTS, index, index["split"])
    _bars(axes[0, 1], "Folds (fold 0 is val, the others are train)", [*folds, "test"], index, fold)
    handles, _ = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, classes, loc="outside lower center", ncols=min(6, len(classes)))
    return save(fig, path)


def _bars(axis: Axes, title: str, parts: Sequence[str], index: pd.DataFrame, part: pd.Series) -> None:
    table = pd.crosstab(part, index["label"], dropna=False).reindex(parts, fill_value=0)
    unit = "patient" if patients_known(index) else "group"
    units = index.groupby(part)[unit].nunique()
    colour = colours(list(table.columns))
    left = np.zeros(len(parts))
    total = table.to_numpy().sum(1)
    for label in table.columns:
        values = table[label].to_numpy()
        axis.barh(parts, values, left=left, color=colour[label], label=label, height=0.72)
        for y, (value, start) in enumerate(zip(values, left, strict=True)):
            if value > 0.055 * total.max():
                axis.text(start + value / 2, y, f"{value}", ha="center", va="center", color="white", fontsize=7.5)
        left = left + values
    for y, name in enumerate(parts):
        axis.text(left[y] + 0.015 * total.max(), y, f"{total[y]} images, {units.get(name, 0)} {unit}s",
                  va="center", fontsize=7.5, color=MUTED)  # fmt: skip
    axis.set_title(title)
    axis.set_xlim(0, 1.5 * total.max())
    axis.invert_yaxis()
    axis.tick_params(length=0)
    axis.set_xticks([])
    for side in ("bottom", "left"):
        axis.spines[side].set_visible(False)
