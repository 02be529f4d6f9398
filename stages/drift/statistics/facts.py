"""Single numbers of an image, such as brightness: are they distributed as in the reference?"""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-9  # of a mean


def distances(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """R Kolmogorov–Smirnov distances: the largest between both cumulative distributions. `values`: N. `weights`: R×N,
    as `permutation.signed` gives them."""
    order = np.argsort(values, kind="stable")
    last = np.flatnonzero(np.diff(values[order]) > 0)  # of equal values; behind the largest both are 1
    return np.asarray(np.abs(weights[:, order].cumsum(axis=1)[:, last]).max(axis=1, initial=0.0))


def difference(values: np.ndarray, is_new: np.ndarray, weight: np.ndarray) -> float:
    """Mean of the new images minus that of the reference, in standard deviations of the reference. 0 where the
    reference does not vary and the means agree; infinite where they do not."""
    means, spread = [], 0.0
    for part in (is_new, ~is_new):
        share = weight[part] / weight[part].sum()
        means.append(float(share @ values[part]))
        spread = float(np.sqrt(share @ (values[part] - means[-1]) ** 2))
    apart = means[0] - means[1]
    least = ROUNDING * max(1.0, abs(means[0]), abs(means[1]))
    if spread > least:
        return apart / spread
    return float(np.sign(apart)) * np.inf if abs(apart) > least else 0.0


def smallest(critical: float, new: int, old: int, quantile: float) -> float:
    """The least shift, in standard deviations of a normal distribution, that is found with a power of at least
    Φ(quantile). Such a shift by δ moves the distributions 2 Φ(δ/2) − 1 apart, in the middle between both."""
    from scipy.special import ndtri

    error = 0.5 * np.sqrt(1 / new + 1 / old)
    apart = min(critical + quantile * error, 1 - 1e-9)
    return float(2 * ndtri((1 + apart) / 2))
