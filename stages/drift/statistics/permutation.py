"""Which patients are the new ones: as it is, and in every permutation. Where both samples come from one source, each
row might as well be the true one, so the share of rows with a statistic as large as that of row 0 is an exact p value.
"""

from __future__ import annotations

import numpy as np

from .sample import Pair

ROUNDING = 1e-5  # of sums of 32 bits


def assignments(new: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """bool R×P with R = permutations + 1; row 0 is `new`, P booleans."""
    rng = np.random.default_rng(seed)
    rows = np.broadcast_to(new, (permutations, len(new)))
    return np.concatenate([new[None], rng.permuted(rows, axis=1)])


def signed(pair: Pair, rows: np.ndarray) -> np.ndarray:
    """float32 R×N: weights of the new images, positive and with sum 1; of the others, negative and with sum −1."""
    new = int(pair.new.sum())
    scale = np.where(rows, 1 / new, -1 / (len(pair.new) - new)).astype(np.float32)
    return np.asarray(scale[:, pair.of_image] * pair.weight.astype(np.float32))


def p_value(statistics: np.ndarray) -> float:
    """`statistics`: R values, the larger the more the samples differ. Equal but for rounding is equal."""
    return float((statistics >= statistics[0] - ROUNDING * abs(statistics[0])).mean())


def critical(statistics: np.ndarray, alpha: float) -> float:
    """What chance alone exceeds with probability `alpha`."""
    return float(np.quantile(statistics[1:], 1 - alpha, method="higher"))
