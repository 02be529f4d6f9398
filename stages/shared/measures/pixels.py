"""How well maps of anomaly point at what is annotated, from counts of pixels by level: a bootstrap then needs no map.

A level is one of LEVELS quantiles of all pixels that are judged, the highest first; within a level pixels tie. Normal
images have no lesion, whether they are annotated or not; anomalous ones are judged where they are annotated.

Shapes: N images, H×W pixels, L levels, R draws
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .statistics import ratio

if TYPE_CHECKING:
    import pandas as pd

LEVELS = 1000
FALSE_PIXELS = 0.3
"""Share of the pixels outside lesions up to which AUPRO looks, as usual (Bergmann et al. 2021)."""
COLUMNS = ("lesion_pixels", "other_pixels", "lesion_shares", "lesions")


def counted(
    maps: np.ndarray, lesions: Callable[[int], np.ndarray], judged: np.ndarray
) -> dict[str, list[np.ndarray] | np.ndarray]:
    """Columns of a prediction table, N values each: pixels of lesions and others at each level; the sum over the
    lesions, regions of a mask that hang together, of the share of their pixels at each level; and their number. Images
    that are not `judged`, N booleans, have zeros.

    maps: float16 N×H×W. lesions: row -> H×W booleans. One image is in memory at a time.
    """
    from scipy.ndimage import label

    level_of = levels(maps, judged)
    nowhere = np.zeros(LEVELS, np.int32)
    lesion, other = [nowhere] * len(maps), [nowhere] * len(maps)
    shares, regions = [nowhere.astype(np.float32)] * len(maps), np.zeros(len(maps), np.int32)
    for i in np.flatnonzero(judged):
        level, inside = level_of[codes(maps[i])], lesions(int(i))
        lesion[i] = np.bincount(level[inside], minlength=LEVELS).astype(np.int32)
        other[i] = np.bincount(level[~inside], minlength=LEVELS).astype(np.int32)
        numbers, regions[i] = label(inside, structure=np.ones((3, 3)))
        sizes = np.bincount(numbers.ravel())
        weights = 1 / sizes[numbers[inside]]
        shares[i] = np.bincount(level[inside], weights=weights, minlength=LEVELS).astype(np.float32)
    return dict(zip(COLUMNS, (lesion, other, shares, regions), strict=True))


def codes(values: np.ndarray) -> np.ndarray:
    """The 16 bits of each float16, as a number."""
    return np.ascontiguousarray(values, np.float16).view(np.uint16)


def levels(maps: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """The level of each of the 65,536 numbers that float16 has, by its code. To count them is to know the quantiles of
    all pixels, without all pixels in memory."""
    counts = np.zeros(2**16, np.int64)
    for i in np.flatnonzero(judged):
        counts += np.bincount(codes(maps[i]).ravel(), minlength=2**16)
    values = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    there = counts > 0
    grid = np.linspace(0, 1, LEVELS + 1)[1:-1]
    cuts = np.quantile(values[there], grid, weights=counts[there], method="inverted_cdf")
    below: np.ndarray = LEVELS - 1 - np.searchsorted(cuts, values, side="left")
    return below


def drawn(table: pd.DataFrame, column: str, weights: np.ndarray) -> np.ndarray:
    """R×L: the sums over the images of each draw. In floats: NumPy multiplies matrices of whole numbers slowly."""
    sums: np.ndarray = weights.astype(np.float64) @ np.stack(list(table[column])).astype(np.float64)
    return sums


def pixel_auroc(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of all pixels of all images together, a tie counting half; R values."""
    hits, false = (drawn(table, name, weights) for name in ("lesion_pixels", "other_pixels"))
    below = false.sum(axis=1, keepdims=True) - false.cumsum(axis=1)
    return ratio((hits * (below + 0.5 * false)).sum(axis=1), hits.sum(axis=1) * false.sum(axis=1))


def aupro(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Mean overlap of the lesions, each counting alike whatever its size, as a mean over thresholds up to FALSE_PIXELS;
    R values. 0.15 is what a map that says nothing gives."""
    false = drawn(table, "other_pixels", weights).cumsum(axis=1)
    overlap = drawn(table, "lesion_shares", weights).cumsum(axis=1)
    lesions = weights @ table["lesions"].to_numpy(np.float64)
    values = np.full(len(weights), np.nan)
    for r in np.flatnonzero((lesions > 0) & (false[:, -1] > 0)):
        x, y = np.r_[0, false[r] / false[r, -1]], np.r_[0, overlap[r] / lesions[r]]
        kept = x < FALSE_PIXELS
        x, y = np.r_[x[kept], FALSE_PIXELS], np.r_[y[kept], np.interp(FALSE_PIXELS, x, y)]
        values[r] = np.trapezoid(y, x) / FALSE_PIXELS
    return values
