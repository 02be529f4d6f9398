"""How well maps of anomaly point at what is annotated, from counts of pixels by level: a bootstrap then needs no map.

A level is one of LEVELS quantiles of all pixels that are judged, the highest first; within a level pixels tie. Normal
images have no lesion, whether they are annotated or not; anomalous ones are judged where they are annotated.

Shapes: N images, H×W pixels, L levels, R draws
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .statistics import ratio

if TYPE_CHECKING:
    import pandas as pd

LEVELS = 1000
FALSE_PIXELS = 0.3
"""Share of the pixels outside lesions up to which AUPRO looks, as usual (Bergmann et al. 2021)."""
COLUMNS = ("lesion_pixels", "other_pixels", "lesion_shares", "lesions")


def counted(maps: np.ndarray, masks: np.ndarray, judged: np.ndarray) -> dict[str, list[np.ndarray] | np.ndarray]:
    """Columns of a prediction table, N values each: pixels of lesions and others at each level; the sum over the
    lesions, regions of a mask that hang together, of the share of their pixels at each level; and their number. Images
    that are not `judged`, N booleans, have zeros.

    maps: N×H×W. masks: N×H×W, not 0 in a lesion.
    """
    from scipy.ndimage import label

    cuts = np.quantile(maps[judged].astype(np.float32), np.linspace(0, 1, LEVELS + 1)[1:-1])
    lesion, other = (np.zeros((len(maps), LEVELS), np.int32) for _ in range(2))
    shares, regions = np.zeros((len(maps), LEVELS), np.float32), np.zeros(len(maps), np.int32)
    for i in np.flatnonzero(judged):
        level = LEVELS - 1 - np.searchsorted(cuts, maps[i].astype(np.float32), side="left")
        inside = masks[i] > 0
        lesion[i], other[i] = (np.bincount(level[part], minlength=LEVELS) for part in (inside, ~inside))
        numbers, regions[i] = label(inside, structure=np.ones((3, 3)))
        sizes = np.bincount(numbers.ravel())
        shares[i] = np.bincount(level[inside], weights=1 / sizes[numbers[inside]], minlength=LEVELS)
    return dict(zip(COLUMNS, (list(lesion), list(other), list(shares), regions), strict=True))


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
