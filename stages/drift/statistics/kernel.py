"""Maximum mean discrepancy (Gretton et al. 2012): the distance between two distributions of features, with a Gaussian
kernel as wide as the median distance of two images. It also sees what no line separates, such as another spread."""

from __future__ import annotations

import numpy as np

from .sample import Pair

CHUNK = 500  # rows at a time


def kernel(features: np.ndarray) -> np.ndarray:
    """float32 N×N."""
    squares = (features**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * features @ features.T, 0)
    pairs = distances[np.triu_indices(len(features), 1)]
    width = float(np.median(pairs[pairs > 0])) if (pairs > 0).any() else 1.0
    return np.asarray(np.exp(-distances / width), np.float32)


def discrepancies(pair: Pair, weights: np.ndarray) -> np.ndarray:
    """R squared discrepancies, of the samples as they are first. `weights`: R×N, as `permutation.signed` gives them."""
    values = kernel(pair.features)
    parts = [weights[start : start + CHUNK] for start in range(0, len(weights), CHUNK)]
    return np.concatenate([((part @ values) * part).sum(axis=1) for part in parts])
