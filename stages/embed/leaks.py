"""Images of two splits that are too much alike to be of two patients.

How much alike images of *different* patients are is seen on the training images: the distance (1 - cosine) of each
one to the nearest of another group. Small distances follow a power law, whose exponent is the local dimension of the
features (Levina & Bickel 2004). It is fitted between two quantiles, so that a few undetected duplicates among the
training images do not bend it, and followed down to the distance below which `false_alarms` pairs are expected in all.

Shapes: N images, F features.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .neighbours import nearest

QUANTILES = (0.05, 0.5)  # of the distances between training images
LEAST = 20  # training images; fewer say nothing of small distances


def bound(distances: np.ndarray, queries: int, false_alarms: float) -> float | None:
    """The distance below which `false_alarms` of `queries` nearest neighbours are expected when nothing leaked.

    distances: of training images to the nearest one of another group. None: too few, or too many of them are zero.
    """
    if len(distances) < LEAST or not queries:
        return None
    low, high = np.quantile(distances, QUANTILES)
    if not 0 < low < high:
        return None
    dimension = np.log(QUANTILES[1] / QUANTILES[0]) / np.log(high / low)
    return float(low * min(1.0, false_alarms / queries / QUANTILES[0]) ** (1 / dimension))


def suspects(
    features: np.ndarray, groups: np.ndarray, use: np.ndarray, false_alarms: float
) -> tuple[pd.DataFrame, float | None]:
    """(row, other, cosine) of each validation image with the training image most alike, and each test image with that
    of training or validation, where they are nearer than the bound; the most alike first. And the bound, as a cosine.

    features: N×F, rows of length 1; groups: N numbers; use: N of train, val, test.
    """
    train = np.flatnonzero(use == "train")
    own = nearest(features[train], groups[train], features[train], groups[train], 1)
    distances = 1 - own.cosines[np.isfinite(own.cosines)]
    parts = []
    for name, before in (("val", ("train",)), ("test", ("train", "val"))):
        rows, others = np.flatnonzero(use == name), np.flatnonzero(np.isin(use, before))
        if len(rows) and len(others):
            best = nearest(features[rows], groups[rows], features[others], groups[others], 1)
            columns = {"row": rows, "other": others[best.rows[:, 0]], "cosine": best.cosines[:, 0].astype(float)}
            parts.append(pd.DataFrame(columns))
    pairs = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"row": [], "other": [], "cosine": []})
    limit = bound(distances, len(pairs), false_alarms)
    if limit is None:
        return pairs.iloc[:0], None
    alike = pairs[1 - pairs["cosine"] < limit]
    return alike.sort_values(["cosine", "row"], ascending=[False, True], ignore_index=True), 1 - limit
