"""Threshold curves and confusion counts of weighted images.

Shapes: N images, K classes, R draws, T distinct scores. `weights` is R×N, not negative.
"""

from __future__ import annotations

import numpy as np


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


def auroc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, the chance that a positive outranks a negative, a tie counting half; R values.

    NaN where a draw has one class only.
    """
    hits, false_alarms = threshold_counts(positive, score, weights)
    negatives = false_alarms.sum(axis=1)
    below = negatives[:, None] - np.cumsum(false_alarms, axis=1)
    return ratio((hits * (below + 0.5 * false_alarms)).sum(axis=1), hits.sum(axis=1) * negatives)


def average_precision(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the precision–recall curve: precision at each threshold, weighted by the recall it adds; R values."""
    hits, false_alarms = threshold_counts(positive, score, weights)
    tp = np.cumsum(hits, axis=1)
    called = tp + np.cumsum(false_alarms, axis=1)
    precision = np.divide(tp, called, out=np.zeros_like(tp), where=called > 0)
    return ratio((hits * precision).sum(axis=1), hits.sum(axis=1))


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


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """NaN where the denominator is zero."""
    values = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=values, where=denominator > 0)
    return values
