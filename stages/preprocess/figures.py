"""What was done to the images, and what went where: two figures to look at before anything is trained."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..shared.arrays.preprocessing import Preprocessor
from ..shared.core.paths import report_dir
from ..shared.figures.style import INK, MUTED, colours, figure, save
from ..shared.images.archive import Archive
from .masks import MaskFile, class_numbers
from .split import patients_known

PAIRS = 3  # images per class
PARTS = ("train", "val", "test")
OUTLINES = ("#56b4e9", "#e69f00", "#009e73", "#b8609a")  # of structures; seen on dark and light


def draw(
    index: pd.DataFrame,
    archive: Archive,
    make: Preprocessor,
    masks: Sequence[Sequence[MaskFile]],
    structures: Sequence[str],
) -> tuple[Path, Path]:
    """`masks`: of each image of the index; none: it is not annotated."""
    folder = report_dir("preprocess")
    before = before_after(folder / "before_after.png", index, archive, make, masks, structures)
    return before, counts(folder / "split.png", index)


def before_after(
    path: Path,
    index: pd.DataFrame,
    archive: Archive,
    make: Preprocessor,
    masks: Sequence[Sequence[MaskFile]],
    structures: Sequence[str],
) -> Path:
    """A row per class, and in it pairs of an image as it lies in the archive and as a model sees it, with the outlines
    of its masks: annotated images where the class has some."""
    classes = list(index["label"].cat.categories)
    widths = [1, 1, 0.12] * (PAIRS - 1) + [1, 1]  # a gap after each pair
    fig, axes = figure(1.6 * 2 * PAIRS + 0.9, 1.82 * len(classes) + 0.2, len(classes), len(widths), width_ratios=widths)
    fig.set_layout_engine("constrained", w_pad=0.05, h_pad=0.05, wspace=0, hspace=0)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, label in zip(axes, classes, strict=True):
        for k, place in enumerate(_spread(index[(index["label"] == label) & (index["split"] == "train")])):
            original, mask = _read(archive, index["path"].iloc[place], masks[place], make)
            image, resized = make.prepare(original, mask)
            _show(row[3 * k], original, mask, "original")
            _show(row[3 * k + 1], image, resized, "preprocessed")
        row[0].text(-0.08, 0.5, textwrap.fill(label, 16), transform=row[0].transAxes, rotation=90, ha="right",
                    va="center", fontsize=10, fontweight="bold", color=INK)  # fmt: skip
    if structures:
        lines = [Line2D([], [], color=_outline(k), label=name) for k, name in enumerate(structures, start=1)]
        fig.legend(handles=lines, loc="outside lower left", ncols=len(lines))
    return save(fig, path)


def _read(
    archive: Archive, name: str, files: Sequence[MaskFile], make: Preprocessor
) -> tuple[np.ndarray, np.ndarray | None]:
    """An image as decoded, h×w×C, and its class numbers, h×w; None: it is not annotated."""
    image = make.original(archive.read(name), name)
    if not files:
        return image, None
    return image, class_numbers(files, [archive.read(file.path) for file in files], image.shape[:2])


def _spread(rows: pd.DataFrame) -> list[int]:
    """Positions in the index of images of different patients, evenly from first to last."""
    annotated = rows[rows["has_mask"]]
    images = (annotated if len(annotated) else rows).drop_duplicates("patient").index
    places = np.linspace(0, len(images) - 1, 2 * PAIRS + 1).round().astype(int)[1::2]
    return [int(images[i]) for i in dict.fromkeys(places)]


def _show(axis: Axes, image: np.ndarray, mask: np.ndarray | None, what: str) -> None:
    height, width, channels = image.shape
    axis.imshow(image[..., 0] if channels == 1 else image, cmap="gray", vmin=0, vmax=255)
    for k in np.unique(mask[mask > 0]) if mask is not None else ():
        axis.contour(mask == k, levels=[0.5], colors=[_outline(k)], linewidths=1)
    side = max(height, width) / 2  # the same square for every image, so that the rows line up
    axis.set_xlim(width / 2 - side - 0.5, width / 2 + side - 0.5)
    axis.set_ylim(height / 2 + side - 0.5, height / 2 - side - 0.5)
    axis.set_title(f"{what}, {width}×{height}", fontsize=7, fontweight="normal", color=MUTED, loc="center")


def _outline(number: int) -> str:
    """Colour of a structure, by its number from 1."""
    return OUTLINES[(number - 1) % len(OUTLINES)]


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
