"""Split conformal prediction: sets of classes that contain the true one with a promised probability.

The promise holds if the images to come are exchangeable with the validation images: as if they had been dealt from one
deck (Vovk et al. 2005). Shapes: N images, n of them validation images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np


def lac(probabilities: np.ndarray) -> np.ndarray:
    """N×K: 1 minus the probability of each class (least ambiguous classifiers, Sadinle et al. 2019)."""
    return 1 - probabilities


def aps(probabilities: np.ndarray) -> np.ndarray:
    """N×K: probability of each class and of those more probable than it (adaptive sets, Romano et al. 2020, without
    their random part: the sets are a little larger than they need to be, and the same every time)."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sums = np.take_along_axis(probabilities, order, axis=1).cumsum(axis=1)
    scores = np.empty_like(sums)
    np.put_along_axis(scores, order, sums, axis=1)
    return scores


SCORES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"lac": lac, "aps": aps}
"""How strange a class would be for an image."""


def limit(scores: np.ndarray, coverage: float) -> float:
    """The ⌈(n + 1) · coverage⌉-th smallest of n scores; infinite where that is more than there are."""
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def limits(scores: np.ndarray, truth: np.ndarray, coverage: float, by_class: bool) -> np.ndarray:
    """K limits from the scores n×K of the validation images: one for all classes, or one for each from its own images
    (Mondrian)."""
    own, classes = scores[np.arange(len(truth)), truth], scores.shape[1]
    if not by_class:
        return np.full(classes, limit(own, coverage))
    return np.array([limit(own[truth == k], coverage) for k in range(classes)])
