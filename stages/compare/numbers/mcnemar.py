"""Two models on the same images: is one of them right more often?

McNemar (1947) compares the images that only one of the two has right. Images of one patient are alike, so the
differences are added up by cluster: b - c images, those that only the first and only the second has right. Under the
null hypothesis a cluster's difference is as likely as its opposite. The p value is exact: over all ways to choose the
signs. With one image per cluster this is the exact McNemar test; with many clusters it becomes the test of Yang, Sun &
Hardin (2010), whose statistic is the square of the sum over the sum of the squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln


@dataclass(frozen=True)
class Discordance:
    """`first`, `second`: images that only this model has right."""

    first: int
    second: int
    p_value: float


def discordance(first: np.ndarray, second: np.ndarray, clusters: np.ndarray) -> Discordance:
    """`first`, `second`: N booleans, the model is right about the image. `clusters`: N numbers from 0."""
    only_first, only_second = first & ~second, second & ~first
    per_cluster = np.bincount(clusters, only_first) - np.bincount(clusters, only_second)
    return Discordance(int(only_first.sum()), int(only_second.sum()), sign_flip(per_cluster.astype(int)))


def sign_flip(differences: np.ndarray) -> float:
    """Chance that a sum of these whole numbers with random signs is at least as far from zero as their own sum."""
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    chances = np.ones(1)  # of each sum, from -total to total in steps of 2
    for size, count in zip(sizes, counts, strict=True):
        spread = np.zeros(size * count + 1)
        spread[::size] = coin(int(count))
        chances = np.convolve(chances, spread)
    sums = 2 * np.arange(len(chances)) - (len(chances) - 1)
    return float(min(chances[np.abs(sums) >= abs(differences.sum())].sum(), 1.0))


def coin(count: int) -> np.ndarray:
    """Chances of 0 … count heads."""
    heads = np.arange(count + 1)
    return np.asarray(np.exp(gammaln(count + 1) - gammaln(heads + 1) - gammaln(count - heads + 1) - count * np.log(2)))
