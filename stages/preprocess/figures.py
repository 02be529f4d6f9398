"""What was done to the images, and what went where: two figures to look at before anything is trained."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..shared.arrays.masks import MaskFile, class_numbers
from ..shared.arrays.preprocessing import MODEL, RESIZED, Preprocessor, View
from ..shared.core.paths import report_dir
from ..shared.figures.style import BAD, GOOD, INK, MUTED, colours, figure, save
from ..shared.images.archive import Archive
from .card import PARTS
from .split import patients_known
from .unchanged import sentences, summary

COLUMNS = 6  # pictures side by side, unless one image takes more
SIDE = 1.6  # inches of a picture
OUTLINES = ("#56b4e9", "#e69f00", "#009e73", "#b8609a")  # of structures; seen on dark and light
VIEWER, LIGHT, DIM, ALERT = "#0b0d0f", "#e9edf0", "#9fabb5", "#ff9a5c"  # films hang before black, by day and by night
LINES = 7  # sentences beside the counts; split.json has all
WHAT = {"patients": "patients", "files": "files (same bytes)", "pictures": "pictures (duplicates)"}


@dataclass(frozen=True)
class Source:
    """What it takes to make one image again. `masks`: the mask files of each image, by its path, none where it is not
    annotated."""

    archive: Archive
    make: Preprocessor
    masks: Mapping[str, Sequence[MaskFile]]
    structures: Sequence[str]

    def views(self, path: str) -> list[View]:
        """What differs from the one before it, of an image as decoded, after each step, and as a model sees it."""
        original, files = self.make.original(self.archive.read(path), path), self.masks[path]
        contents = [self.archive.read(file.path) for file in files]
        numbers = class_numbers(files, contents, original.shape[:2]) if files else None
        views = list(self.make.views(original, numbers))
        same = [view.name in (RESIZED, MODEL) and view.image is before.image for before, view in pairwise(views)]
        return [view for view, as_before in zip(views, [False, *same], strict=True) if not as_before]


def draw(index: pd.DataFrame, source: Source, left: pd.DataFrame, content: Mapping[str, Any]) -> tuple[Path, Path]:
    """`left`: the images that steps left as they were, as `unchanged` lists them. `content`: the split card."""
    folder = report_dir("preprocess")
    pictures = before_after(folder / "before_after.png", index, source, left)
    return pictures, split_card(folder / "split.png", index, content)


def before_after(path: Path, index: pd.DataFrame, source: Source, left: pd.DataFrame) -> Path:
    """Rows of images of each class, each image step by step; then one image per reason for which a step left some as
    they were, and how many those are. Masks are outlined."""
    train, names = index[index["split"] == "train"], list(index["label"].cat.categories)
    steps = len(source.views(train["path"].iloc[0]))
    beside = max(1, COLUMNS // steps)
    rows: list[tuple[str, Sequence[str]]] = []
    for label in names:
        chosen = _spread(train[train["label"] == label], max(2, beside))
        rows += [(label, chosen[k : k + beside]) for k in range(0, len(chosen), beside)]
    failed = left.drop_duplicates(["step", "reason"])
    rows += [(reason, [name]) for reason, name in zip(failed["reason"], failed["path"], strict=True)]
    views = {name: source.views(name) for _, paths in rows for name in paths}
    steps = max(map(len, views.values()))  # fewer where a file has the size of the arrays
    widths = ([1.0] * steps + [0.12]) * beside  # a gap after each image
    fig, axes = figure(SIDE * steps * beside + 0.9, 1.82 * len(rows) + 0.2, len(rows), len(widths), width_ratios=widths)
    fig.set_layout_engine("constrained", w_pad=0.05, h_pad=0.07, wspace=0, hspace=0)
    fig.set_facecolor(VIEWER)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (title, paths) in enumerate(rows):
        for k, name in enumerate(paths):
            for axis, view in zip(axes[number, k * (steps + 1) :], views[name], strict=False):
                _show(axis, view)
        if number == 0 or rows[number - 1][0] != title:
            first = axes[number, 0]
            first.text(-0.08, 0.5, textwrap.fill(title, 16), transform=first.transAxes, rotation=90, ha="right",
                       va="center", fontsize=10, fontweight="bold", color=LIGHT)  # fmt: skip
    if source.structures:
        outlines = [Line2D([], [], color=_outline(k), label=name) for k, name in enumerate(source.structures, start=1)]
        fig.legend(handles=outlines, loc="outside lower left", ncols=len(outlines), labelcolor=LIGHT)
    if lines := sentences(summary(left, len(index))):
        fig.supxlabel("\n".join(lines), fontsize=8, color=DIM)
    return save(fig, path)


def _spread(rows: pd.DataFrame, count: int) -> list[str]:
    """Paths of different patients, evenly from first to last; annotated images where there are any."""
    annotated = rows[rows["has_mask"]]
    paths = (annotated if len(annotated) else rows).drop_duplicates("patient")["path"].tolist()
    places = np.linspace(0, len(paths) - 1, 2 * count + 1).round().astype(int)[1::2]
    return [paths[i] for i in dict.fromkeys(places)]


def _show(axis: Axes, view: View) -> None:
    height, width, channels = view.image.shape
    axis.imshow(view.image[..., 0] if channels == 1 else view.image, cmap="gray", vmin=0, vmax=255)
    for k in np.unique(view.mask[view.mask > 0]) if view.mask is not None else ():
        axis.contour(view.mask == k, levels=[0.5], colors=[_outline(k)], linewidths=1)
    side = max(height, width) / 2  # the same square for every image, so that the rows line up
    axis.set_xlim(width / 2 - side - 0.5, width / 2 + side - 0.5)
    axis.set_ylim(height / 2 + side - 0.5, height / 2 - side - 0.5)
    axis.set_title(f"{view.note or view.name}, {width}×{height}", fontsize=7, fontweight="normal",
                   color=ALERT if view.note else DIM, loc="center", pad=4)  # fmt: skip


def _outline(number: int) -> str:
    """Colour of a structure, by its number from 1."""
    return OUTLINES[(number - 1) % len(OUTLINES)]


def split_card(path: Path, index: pd.DataFrame, content: Mapping[str, Any]) -> Path:
    """Images per split and per fold, stacked by class, with patients (or groups, if unknown); what lies in two parts;
    in words, what is large, what moved and what could not be met. A third row where there are sites. `content`: the
    card."""
    classes, sites = list(index["label"].cat.categories), list(content["parts"]["train"]["sites"])
    fold = index["fold"].map(lambda k: "test" if k < 0 else f"fold {k}")
    folds = [f"fold {k}" for k in range(index["fold"].max() + 1)]
    heights = [1.3 + 0.32 * max(len(PARTS), len(folds) + 1), 1.9, *([0.9 + 0.45 * len(sites)] if sites else [])]
    fig, axes = figure(9.6, sum(heights), len(heights), 2, height_ratios=heights)
    fig.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08)
    _bars(axes[0, 0], "Split", PARTS, index, index["split"])
    _bars(axes[0, 1], "Folds (fold 0 is val, the others are train)", [*folds, "test"], index, fold)
    _overlap(axes[1, 0], content)
    _words(axes[1, 1], content)
    if sites:
        _bars(axes[2, 0], "Sites", sites, index, index["site"])
        _shares(axes[2, 1], sites, content)
    handles, _ = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, classes, loc="outside lower center", ncols=min(6, len(classes)))
    return save(fig, path)


def _overlap(axis: Axes, content: Mapping[str, Any]) -> None:
    """A table of counts: three noughts a row are the proof that parts have nothing in common."""
    columns = [*next(iter(content["overlap"].values()))]
    axis.set_title("In more than one part")
    axis.set_axis_off()
    axis.set_xlim(0, len(columns) + 1.2)
    axis.set_ylim(len(content["overlap"]) + 0.5, -0.6)
    for x, name in enumerate(columns):
        label = "two folds" if name == "folds" else name.replace(", ", "\nand ")
        axis.text(x + 1.7, 0, label, ha="center", va="center", fontsize=7.5, color=MUTED)
    for y, (name, counts) in enumerate(content["overlap"].items(), start=1):
        axis.text(0, y, WHAT[name], va="center", fontsize=8)
        for x, column in enumerate(columns):
            unknown, n = name == "patients" and not content["patients_known"], counts[column]
            axis.text(x + 1.7, y, "unknown" if unknown else f"{n:,}", ha="center", va="center",
                      fontsize=7.5 if unknown else 10, color=MUTED if unknown else BAD if n else GOOD,
                      fontweight="normal" if unknown else "bold")  # fmt: skip


def _words(axis: Axes, content: Mapping[str, Any]) -> None:
    largest, moved = content["largest"], content["moved"]
    size = f"{largest['images']:,} image{'' if largest['images'] == 1 else 's'} ({largest['share']:.1%})"
    lines = [f"The largest group has {size}; it is in {largest['part']}."]
    if moved["images"]:
        lines.append(
            f"In another part than in the set's own split: images {moved['images']:,}, groups {moved['groups']:,}."
        )
    lines += content["unmet"] or [content["even"]]
    text = "\n".join(textwrap.fill(line, 66) for line in lines[:LINES])
    axis.set_title("What to know")
    axis.set_axis_off()
    axis.text(0, 1, text + "\n…" * (len(lines) > LINES), va="top", fontsize=8, linespacing=1.5,
              transform=axis.transAxes)  # fmt: skip


def _shares(axis: Axes, sites: Sequence[str], content: Mapping[str, Any]) -> None:
    """Of the images of each site, the share in each part."""
    left = np.zeros(len(sites))
    images = {part: np.array([content["parts"][part]["sites"].get(s, {"images": 0})["images"] for s in sites])
              for part in PARTS}  # fmt: skip
    total = np.maximum(sum(images.values()), 1)
    for part, shade in zip(PARTS, ("#c9ced3", "#8f979f", "#4a525a"), strict=True):
        share = images[part] / total
        axis.barh(list(sites), share, left=left, color=shade, height=0.72)
        for y, (value, start) in enumerate(zip(share, left, strict=True)):
            if value > 0.12:
                axis.text(start + value / 2, y, f"{part} {value:.0%}", ha="center", va="center", fontsize=7.5,
                          color=INK if part == "train" else "white")  # fmt: skip
        left = left + share
    axis.set_title("Part of each site")
    axis.set_xlim(0, 1)
    _bare(axis)


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
    _bare(axis)


def _bare(axis: Axes) -> None:
    """First bar on top; no axis lines."""
    axis.invert_yaxis()
    axis.tick_params(length=0)
    axis.set_xticks([])
    for side in ("bottom", "left"):
        axis.spines[side].set_visible(False)
