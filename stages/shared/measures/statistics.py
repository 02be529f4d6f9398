"""Threshold curves and confusion counts of weighted images.

Shapes: N images, K classes, R draws, T distinct scores. `weights` is R×N, not negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

TOLERANCE = 1e-9  # of sums of weights


def once(images: int) -> np.ndarray:
    """Weights 1×N that count every image once: the test split itself, not a draw from it."""
    return np.ones((1, images))


def threshold_counts(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight of the positives and of the negatives at each distinct score, highest score first: two arrays R×T.

    Their running sums are the true and the false positives of every threshold. `positive`: N booleans. `score`: N.
    """
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    ordered = weights[:, order].astype(np.float64)
    hits = np.add.reduceat(ordered * positive[order], starts, axis=1)
    false_alarms = np.add.reduceat(ordered * ~positive[order], starts, axis=1)
    return hits, false_alarms


@dataclass(frozen=True)
class Ranking:
    """Images in the order of their scores, the highest first: what every threshold would call positive."""

    hits: np.ndarray
    """R×T: weight of the positives at each distinct score."""
    false_alarms: np.ndarray
    """R×T: of the negatives."""

    @cached_property
    def tp(self) -> np.ndarray:
        """R×T: of the positives at or above each score."""
        return np.cumsum(self.hits, axis=1)

    @cached_property
    def fp(self) -> np.ndarray:
        return np.cumsum(self.false_alarms, axis=1)

    @property
    def positives(self) -> np.ndarray:
        return np.asarray(self.tp[:, -1])

    @property
    def negatives(self) -> np.ndarray:
        return np.asarray(self.fp[:, -1])

    def auroc(self) -> np.ndarray:
        """Area under the ROC curve, the chance that a positive outranks a negative, a tie counting half; R values.

        NaN where a draw has one class only.
        """
        below = self.negatives[:, None] - self.fp
        pairs = (self.hits * (below + 0.5 * self.false_alarms)).sum(axis=1)
        return ratio(pairs, self.positives * self.negatives)

    def average_precision(self) -> np.ndarray:
        """Area under the precision–recall curve: precision at each threshold, weighted by the recall it adds."""
        called = self.tp + self.fp
        precision = np.divide(self.tp, called, out=np.zeros_like(self.tp), where=called > 0)
        return ratio((self.hits * precision).sum(axis=1), self.positives)

    def sensitivity_at(self, specificity: float) -> np.ndarray:
        """The highest sensitivity of all thresholds whose specificity is at least this; NaN where a draw has one class
        only."""
        allowed = self.fp <= (1 - specificity) * self.negatives[:, None] + TOLERANCE
        most = np.where(allowed, self.tp, 0).max(axis=1)
        return np.where(self.negatives > 0, ratio(most, self.positives), np.nan)

    def specificity_at(self, sensitivity: float) -> np.ndarray:
        """The highest specificity of all thresholds whose sensitivity is at least this; NaN where a draw has one class
        only."""
        allowed = self.tp >= sensitivity * self.positives[:, None] - TOLERANCE
        fewest = np.where(allowed, self.fp, np.inf).min(axis=1)
        return np.where(self.positives > 0, ratio(self.negatives - fewest, self.negatives), np.nan)


def ranking(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> Ranking:
    """`positive`: N booleans. `score`: N."""
    return Ranking(*threshold_counts(positive, score, weights))


def auroc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return ranking(positive, score, weights).auroc()


def roc_curve(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(fpr, tpr) from (0, 0) to (1, 1), without the points that lie on a straight line between others."""
    counts = threshold_counts(positive, score, once(len(score)))
    tp, fp = (np.r_[0, np.cumsum(count[0])] for count in counts)
    corner = np.r_[True, (np.diff(tp, 2) != 0) | (np.diff(fp, 2) != 0), True]
    return fp[corner] / max(fp[-1], 1), tp[corner] / max(tp[-1], 1)


def precision_recall_curve(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(recall, precision) from recall 0 on, at each threshold that adds positives. Between two recalls the precision is
    that of the higher one: the area below these steps is `average_precision`."""
    hits, false_alarms = (count[0] for count in threshold_counts(positive, score, once(len(score))))
    tp, called = np.cumsum(hits), np.cumsum(hits + false_alarms)
    precision = tp[hits > 0] / called[hits > 0]
    return np.r_[0, tp[hits > 0] / max(tp[-1], 1)], np.r_[precision[:1] if len(precision) else 0, precision]


def confusion(targets: np.ndarray, predicted: np.ndarray, classes: int, weights: np.ndarray) -> np.ndarray:
    """R×K×K sums of weights, truth × prediction. `targets`, `predicted`: N class numbers."""
    cell = targets * classes + predicted
    order = np.argsort(cell, kind="stable")
    cells, starts = np.unique(cell[order], return_index=True)
    counts = np.zeros((len(weights), classes * classes))
    counts[:, cells] = np.add.reduceat(weights[:, order], starts, axis=1)
    return counts.reshape(-1, classes, classes)


def agreement(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matthews' correlation coefficient (Gorodkin 2004 for K classes) and Cohen's kappa of …×K×K counts; 0 for
    predictions without any relation to the truth.

    NaN where the truth is of one class; the coefficient is 0, as in scikit-learn, where only the predictions are.
    """
    truth, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    total = truth.sum(axis=-1)
    by_chance = (truth * predicted).sum(axis=-1)
    beyond = counts.diagonal(axis1=-2, axis2=-1).sum(axis=-1) * total - by_chance
    mixed, called = (total**2 - (sums**2).sum(axis=-1) for sums in (truth, predicted))
    coefficient = np.where(called > 0, ratio(beyond, np.sqrt(mixed * called)), 0.0)
    return (
        np.where(mixed > 0, coefficient, np.nan),
        np.where(mixed > 0, ratio(beyond, total**2 - by_chance), np.nan),
    )


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """NaN where the denominator is zero."""
    values = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=values, where=denominator > 0)
    return values
