"""Test images, and what every model predicted for them. They are chosen without regard to any prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ...shared.figures.style import BAD, GOOD, INK, MUTED, figure
from ..read import Data, Member
from .style import plain

LINE = 17  # points between the predictions of two models


def choose(first: Member, count: int, seed: int) -> list[int]:
    """Rows of `Member.test`: images of different patients, classes in turn."""
    truth = first.test["label"].cat.codes.to_numpy()
    order = np.random.default_rng(seed).permutation(len(truth))
    shuffled = first.test.iloc[order].assign(row=order, truth=truth[order]).drop_duplicates("patient")
    shuffled["turn"] = shuffled.groupby("truth").cumcount()
    return [int(row) for row in shuffled.sort_values(["turn", "truth"])["row"].head(count)]


def pixels_of(data: Data, first: Member, rows: Sequence[int]) -> list[np.ndarray]:
    """(H, W, C) uint8 for each row of `Member.test`."""
    position = {path: i for i, path in enumerate(data.index["path"])}
    return [np.asarray(data.images[position[first.test["path"].iloc[row]]]) for row in rows]


def sheet(pixels: Sequence[np.ndarray], rows: Sequence[int], models: Mapping[str, Member]) -> Figure:
    """The static version of the page's table: images on top, below each every model's prediction. `models` by label."""
    fig, axes = figure(1.9 + 1.35 * len(rows), 1.9 + 0.26 * len(models), 1, len(rows))
    answers = [m.answers for m in models.values()]
    text: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 7.5}
    for ax, image, i in zip(axes[0], pixels, rows, strict=True):
        truth = answers[0].truth[i]
        ax.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
        ax.set_axis_off()
        ax.set_title(plain(answers[0].classes[truth]), fontsize=8, loc="center")
        for line, own in enumerate(answers):
            right = own.predicted[i] == truth
            label, colour = f"{'✓' if right else '✗'} {own.probabilities[i, truth]:.2f}", GOOD if right else BAD
            ax.annotate(label, (0.5, 0), (0, -6 - LINE * line), ha="center", va="top", color=colour, **text)
    for line, name in enumerate(models):
        axes[0, 0].annotate(name, (0, 0), (-8, -6 - LINE * line), ha="right", va="top", color=INK, **text)
    axes[0, 0].annotate("probability of the true class", (0, 0.5), (-8, 0), ha="right", color=MUTED, **text)
    return fig


def pictures(
    images: Sequence[Image.Image],
    titles: Sequence[str],
    rows: Mapping[str, Sequence[tuple[Image.Image, str]]],
    note: str,
) -> Figure:
    """The same where a model's answer is a picture: images with their titles on top, below them what each model, by
    label, made of every image, with a text above it."""
    fig, axes = figure(1.5 + 1.5 * len(images), 1.6 * (1 + len(rows)), 1 + len(rows), len(images))
    lines = [list(zip(images, titles, strict=True)), *rows.values()]
    for line, pairs in zip(axes, lines, strict=True):
        for ax, (picture, title) in zip(line, pairs, strict=True):
            ax.imshow(np.asarray(picture), cmap="gray", vmin=0, vmax=255)
            ax.set_title(plain(title), fontsize=8, fontweight="normal", loc="center")
            ax.set_axis_off()
    for line, name in zip(axes[1:], rows, strict=True):
        line[0].annotate(
            name, (0, 0.5), (-6, 0), xycoords="axes fraction", textcoords="offset points",
            ha="right", va="center", fontsize=8, color=INK,
        )  # fmt: skip
    fig.supxlabel(note, fontsize=8, color=MUTED)
    return fig
