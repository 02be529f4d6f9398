"""Deal groups into parts of given shares so that every part has the classes in the same proportion.

scikit-learn's StratifiedGroupKFold deals into equal parts only; a test part of any share needs this. On equal
parts the tests hold it against scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def deal(counts: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """int64 G: the part of each group.

    `counts`: int G×K, images of each class in each group. `shares`: P, they sum to 1. Large groups go first,
    each to the part where it does most to bring every class to its target (least sum of squared distance over
    target); `seed` decides between groups of one size.
    """
    counts = np.asarray(counts, np.float64)
    totals = counts.sum(0)
    target = np.outer(shares, totals)  # P×K
    weight = 1 / np.maximum(target * totals, 1e-12)  # a rare class counts as much as a frequent one
    part, filled = np.empty(len(counts), np.int64), np.zeros_like(target)
    for g in _large_first(counts, seed):
        cost = (counts[g] * (counts[g] + 2 * (filled - target)) * weight).sum(1)  # P: change of the squared distance
        part[g] = int(np.argmin(cost))
        filled[part[g]] += counts[g]
    return part


def _large_first(counts: np.ndarray, seed: int) -> np.ndarray:
    shuffled = np.random.default_rng(seed).permutation(len(counts))
    return shuffled[np.argsort(-counts[shuffled].sum(1), kind="stable")]
