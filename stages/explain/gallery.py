"""The picture of all chosen cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..shared.figures.style import BAD, GOOD, HEAT, MUTED, figure, save


def draw(
    cases: list[dict[str, Any]], images: np.ndarray, maps: np.ndarray, classes: list[str], name: str, path: Path
) -> Path:
    """One row per class and outcome: each case as image and image with heat map side by side."""
    groups = [[(i, c) for i, c in enumerate(cases) if (c["label"], c["correct"]) == (label, correct)]
              for label in classes for correct in (True, False)]  # fmt: skip
    groups = [group for group in groups if group]
    widest = max((len(group) for group in groups), default=1)
    fig, axes = figure(3.6 * widest, 2.15 * max(1, len(groups)) + 0.3, max(1, len(groups)), 2 * widest)
    for ax in axes.flat:
        ax.set_axis_off()
    for axes_row, group in zip(axes, groups, strict=False):
        for j, (i, case) in enumerate(group):
            draw_case(axes_row[2 * j : 2 * j + 2], case, images[i], maps[i])
    fig.suptitle(f"{name}   Grad-CAM of the predicted class", x=0.01, ha="left", fontsize=10, color=MUTED)
    return save(fig, path)


def draw_case(axes: np.ndarray, case: dict[str, Any], image: np.ndarray, heat: np.ndarray) -> None:
    for ax in axes:
        ax.imshow(image.squeeze(), vmin=0, vmax=255)
    axes[1].imshow(heat, cmap=HEAT, vmin=0, vmax=1, alpha=0.25 + 0.45 * heat)
    axes[0].set_title(f"is {case['label']}", fontsize=8, fontweight="normal")
    axes[1].set_title(
        f"predicted {case['predicted']}, {case['confidence']:.0%}", fontsize=8, color=GOOD if case["correct"] else BAD
    )
