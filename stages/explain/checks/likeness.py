"""Are maps of one class alike, and do methods agree?

Shapes: n maps, H×W pixels, R draws
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.stats import rankdata

from ...shared.measures.statistics import ratio

CELLS = 32  # a side, at most, on which maps are compared: finer detail is noise


def cells(maps: np.ndarray) -> np.ndarray:
    """n×c: the maps as lists of at most CELLS² means."""
    side = min(CELLS, *maps.shape[1:])
    return np.array([cv2.resize(own, (side, side), interpolation=cv2.INTER_AREA).ravel() for own in maps], float)


def standard(values: np.ndarray) -> np.ndarray:
    """n×c with mean 0 and length 1, so that products are correlations; NaN where all are equal."""
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    scaled = np.full(centred.shape, np.nan)
    np.divide(centred, length, out=scaled, where=length > 1e-9)
    return scaled


def rank_correlation(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's, of each map with the other one of the same image: n. NaN where one has no heat."""
    first, second = (standard(rankdata(cells(own), axis=1)) for own in (maps, others))
    return np.asarray((first * second).sum(axis=1))


def correlations(maps: np.ndarray) -> np.ndarray:
    """n×n, Pearson's, of each map with every other."""
    own = standard(cells(maps))
    return np.asarray(own @ own.T)


def consistency(
    correlation: np.ndarray, classes: np.ndarray, clusters: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Mean correlation of two maps of one class (`within`), and of two classes (`between`), over pairs of images of
    different clusters; R values each. `correlation`: n×n. `classes`, `clusters`: of n images. `weights`: R×n."""
    pairs = (clusters[:, None] != clusters) & np.isfinite(correlation)
    same = classes[:, None] == classes
    known = np.nan_to_num(correlation)
    values = {}
    for name, of_kind in (("within", pairs & same), ("between", pairs & ~same)):
        total = ((weights @ np.where(of_kind, known, 0)) * weights).sum(axis=1)
        values[name] = ratio(total, ((weights @ of_kind.astype(float)) * weights).sum(axis=1))
    return values
