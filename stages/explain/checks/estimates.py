"""Means over the sample with intervals, and what an interval shows.

Shapes: n images of the sample, R draws
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ...shared.measures.judge import Resampling, estimates
from ...shared.measures.statistics import ratio

Estimate = dict[str, float | None]


@dataclass(frozen=True)
class Draws:
    """The bootstrap of a sample. weights: for how many test images each of the n stands. clusters: their groups."""

    weights: np.ndarray
    clusters: np.ndarray
    how: Resampling

    def means(self, values: Mapping[str, np.ndarray]) -> dict[str, Estimate]:
        """{name: {value, low, high}} of n values each; an image whose value is NaN does not count."""

        def compute(counts: np.ndarray) -> dict[str, np.ndarray]:
            weights = counts * self.weights
            return {
                name: ratio(weights @ np.nan_to_num(own), weights @ np.isfinite(own).astype(float))
                for name, own in values.items()
            }

        return self.of(compute) if values else {}

    def of(self, compute: Callable[[np.ndarray], Mapping[str, np.ndarray]]) -> dict[str, Estimate]:
        """Of numbers that are computed from R×n counts of the images."""
        return estimates(compute, self.clusters, self.how)[0]


def verdict(difference: Estimate, higher_is_better: bool) -> str:
    """better, worse, or not shown to differ, by whether the interval of the difference includes zero."""
    low, high = difference["low"], difference["high"]
    if low is None or high is None or low <= 0 <= high:
        return "not shown to differ"
    return "better" if (low > 0) == higher_is_better else "worse"
