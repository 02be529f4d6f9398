"""Areas under the ROC curve of several models on the same images, and their covariance, without a bootstrap.

DeLong, DeLong & Clarke-Pearson (1988), with placement values from midranks (Sun & Xu 2014). Images of one cluster are
added up before they are squared (Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data"); with one image
per cluster this is DeLong's own formula. Of more than two classes the area is the mean of each class against the rest,
and the contribution of a cluster is the mean over the classes.

Shapes: M models, N images, G clusters, P positives, Q negatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Areas:
    """`value`: M areas; `covariance`: M×M."""

    value: np.ndarray
    covariance: np.ndarray

    def difference(self, a: int, b: int) -> tuple[float, float]:
        """Area of model a minus that of b, and its standard error."""
        variance = self.covariance[a, a] + self.covariance[b, b] - 2 * self.covariance[a, b]
        return float(self.value[a] - self.value[b]), float(max(variance, 0.0) ** 0.5)


def areas(rankings: Sequence[tuple[np.ndarray, np.ndarray]], clusters: np.ndarray) -> Areas:
    """`rankings`: for each class that has a curve, N booleans (is of the class) and M×N scores. `clusters`: of N
    images. All NaN where a class has no positive or no negative image.
    """
    group = np.unique(clusters, return_inverse=True)[1]
    parts = [_contributions(positive, scores, group) for positive, scores in rankings]
    value = np.mean([own for own, _, _ in parts], axis=0)
    count = group.max() + 1
    if len(parts) > 1:
        total = sum(of_positives + of_negatives for _, of_positives, of_negatives in parts) / len(parts)
        return Areas(value, _factor(count) * total.T @ total)
    (_, of_positives, of_negatives), (positive, _) = parts[0], rankings[0]
    crossed = of_positives.T @ of_negatives
    own = (_factor(len(np.unique(group[rows]))) for rows in (positive, ~positive))
    squares = (part.T @ part for part in (of_positives, of_negatives))
    covariance = sum(factor * square for factor, square in zip(own, squares, strict=True))
    return Areas(value, covariance + _factor(count) * (crossed + crossed.T))


def _contributions(
    positive: np.ndarray, scores: np.ndarray, group: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """M areas, and what each cluster's positives and its negatives add to them, G×M each; both sum to zero."""
    above, beside = placements(positive, scores)
    value = above.mean(axis=1) if above.size and beside.size else np.full(len(scores), np.nan)
    sums = []
    for rows, values in ((positive, above), (~positive, beside)):
        added = np.zeros((group.max() + 1, len(scores)))
        np.add.at(added, group[rows], (values - value[:, None]).T / max(values.shape[1], 1))
        sums.append(added)
    return value, sums[0], sums[1]


def placements(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """M×P: the share of the negatives that each positive outranks; M×Q: the share of the positives that outrank each
    negative. A tie counts half. `scores`: M×N."""
    every, own, others = (midranks(part) for part in (scores, scores[:, positive], scores[:, ~positive]))
    count, rest = int(positive.sum()), int((~positive).sum())
    return (every[:, positive] - own) / max(rest, 1), 1 - (every[:, ~positive] - others) / max(count, 1)


def midranks(scores: np.ndarray) -> np.ndarray:
    """Ranks from 1 within each row; equal scores share the mean of their ranks."""
    return np.asarray(pd.DataFrame(scores.T).rank(), dtype=float).T


def _factor(clusters: int) -> float:
    """As n / (n - 1) of a variance; NaN for a single cluster, which says nothing about others."""
    return clusters / (clusters - 1) if clusters > 1 else np.nan
