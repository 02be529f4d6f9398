"""What is won when the least certain images are left to a human. Shapes: N images, R draws; `weights`: R×N."""

from __future__ import annotations

import math

import numpy as np

from .statistics import ratio, threshold_counts


def area(wrong: np.ndarray, confidence: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the risk–coverage curve: the mean, over all images, of the error rate among those that are at least as
    certain (Geifman & El-Yaniv 2017); R values. `wrong`: N booleans."""
    errors, others = threshold_counts(wrong, confidence, weights)
    images = errors + others
    risk = ratio(errors.cumsum(axis=1), images.cumsum(axis=1))
    return ratio((np.nan_to_num(risk) * images).sum(axis=1), images.sum(axis=1))


def at_least(confidence: np.ndarray, share: float) -> float:
    """The confidence that this share of the images reaches; with equal ones more of them do."""
    return float(np.sort(confidence)[::-1][max(math.ceil(share * len(confidence) - 1e-9), 1) - 1])
