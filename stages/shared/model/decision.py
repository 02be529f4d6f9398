"""From probability maps to masks: a threshold, and how many components of each structure are kept.

Both are chosen for each model on its validation images. Pixels of one component touch at a side or a corner.

Shapes: n images, K structures, H×W pixels. Maps are uint8, in 255ths. Masks hold class numbers: 0 background, k the
k-th structure.
"""

from __future__ import annotations

import numpy as np

from ..core.hardware import on_all_cores
from .recipe import Decision

LEVELS = sorted(range(11, 255, 13), key=lambda level: abs(level - 128))
"""Thresholds to choose from, in 255ths: from 0.04 to 0.96 in steps of 0.05; the plainest, 0.5, is first."""
KEPT = (0, 1, 2)
"""Components to keep: all, the largest, the two largest."""


def mask_of(maps: np.ndarray, decision: Decision) -> np.ndarray:
    """uint8 h×w of class numbers, from K×h×w. Where the threshold is reached it is the likeliest structure, the first
    of equals."""
    foreground, likeliest = _pixels(maps)
    classes = np.where(foreground >= decision.level, likeliest, np.uint8(0))
    for k, kept in enumerate(decision.kept, start=1):
        if kept:
            structure = classes == k
            classes[structure & ~largest(structure, kept)] = 0
    return classes


def choose(maps: np.ndarray, masks: np.ndarray) -> Decision:
    """The decision with the best Dice on these images, n×K×H×W and n×H×W: the mean over structures of the mean over
    images. Among equals: the threshold nearest to 0.5, then all components before fewer. A structure for which no Dice
    is defined keeps all."""
    dice = np.stack(on_all_cores(lambda i: dice_of_decisions(maps[i], masks[i]), len(maps))) if len(maps) else None
    if dice is None:
        return Decision(level=LEVELS[0], kept=(0,) * maps.shape[1])
    defined = ~np.isnan(dice)
    means = np.nansum(dice, axis=0) / np.maximum(defined.sum(axis=0), 1)  # levels × kept × K
    means = means.round(12)  # sums in another order are equal
    level = int(means.max(axis=1).mean(axis=1).argmax())
    return Decision(level=LEVELS[level], kept=tuple(KEPT[i] for i in means[level].argmax(axis=0)))


def dice_of_decisions(maps: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """LEVELS × KEPT × K Dice of one image, K×H×W and H×W. Both empty: NaN."""
    foreground, likeliest = _pixels(maps)
    dice = np.full((len(LEVELS), len(KEPT), len(maps)), np.nan)
    for k in range(len(maps)):
        own, truth = likeliest == k + 1, mask == k + 1
        total = int(truth.sum())
        for i, level in enumerate(LEVELS):
            labels, sizes, order = components(own & (foreground >= level))
            tp = np.bincount(labels[truth], minlength=len(sizes))
            for j, kept in enumerate(KEPT):
                parts = order[: kept or None]
                if size := int(sizes[parts].sum()) + total:
                    dice[i, j, k] = 2 * int(tp[parts].sum()) / size
    return dice


def largest(mask: np.ndarray, count: int) -> np.ndarray:
    """Boolean H×W: the `count` largest components of a mask. Among equals: the one that begins further up."""
    labels, sizes, order = components(mask)
    keep = np.zeros(len(sizes), dtype=bool)
    keep[order[:count]] = True
    kept: np.ndarray = keep[labels]
    return kept


def components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(component of each pixel, H×W, 0 outside the mask; pixels of each component, 0 included; the components but 0,
    largest first)."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    sizes = stats[:, cv2.CC_STAT_AREA]
    return labels, sizes, np.argsort(-sizes[1:], kind="stable") + 1


def _pixels(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1 - p(background) in 255ths, number of the likeliest structure), h×w each, from K×h×w."""
    best, likeliest = maps[0].copy(), np.ones(maps.shape[1:], np.uint8)
    for k, values in enumerate(maps[1:], start=2):  # argmax would take eight bytes a pixel, and files can be large
        likeliest[values > best] = k
        np.maximum(best, values, out=best)
    return maps.sum(axis=0, dtype=np.uint16), likeliest
