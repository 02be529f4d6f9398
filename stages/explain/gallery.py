"""One picture of all cases."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ..shared.figures.style import BAD, GOOD, HEAT, MUTED, figure, save


def draw(cases: Sequence[dict[str, Any]], images: np.ndarray, maps: np.ndarray, name: str, path: Path) -> Path:
    """One row per class and outcome, in the order of `cases`: each image plain and under its heat map."""
    rows = [list(row) for _, row in groupby(zip(cases, images, maps, strict=True), lambda case: outcome(case[0]))]
    widest = max(map(len, rows), default=1)
    fig, axes = figure(3.6 * widest, 2.15 * max(1, len(rows)) + 0.3, max(1, len(rows)), 2 * widest)
    for ax in axes.flat:
        ax.set_axis_off()
    for line, row in zip(axes, rows, strict=False):
        for (left, right), (case, image, heat) in zip(line.reshape(-1, 2), row, strict=False):
            for ax in (left, right):
                ax.imshow(image.squeeze(), vmin=0, vmax=255)
            right.imshow(heat, cmap=HEAT, vmin=0, vmax=1, alpha=0.25 + 0.45 * heat)
            left.set_title(f"truth: {case['label']}", fontsize=8, fontweight="normal")
            predicted = f"predicted {case['predicted']}, {case['confidence']:.0%}"
            right.set_title(predicted, fontsize=8, color=GOOD if case["correct"] else BAD)
    fig.suptitle(f"{name}   Grad-CAM of the predicted class", x=0.01, ha="left", fontsize=10, color=MUTED)
    return save(fig, path)


def outcome(case: dict[str, Any]) -> tuple[str, bool]:
    return case["label"], case["correct"]
