"""Classification metrics, weighted and vectorised over resamples.

A bootstrap by patient is the same as giving each image the weight of how often its patient was drawn. So every metric
here takes weights R×N, one row per resample, and returns R values; scikit-learn (with `sample_weight`) is the
reference in the tests. In a binary problem, sensitivity, specificity, PPV, NPV, F1, AUROC and AUPRC are of the last
class, the positive one; with more classes they are means over the classes, each against the rest (macro).

Where a resample leaves a ratio without a denominator the value is NaN, and the interval is over the others.
"""

from __future__ import annotations

import numpy as np

from ..shared.measures.statistics import auroc

# Shapes: R resamples, N images, K classes
Values = dict[str, np.ndarray]
NAMES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "auroc", "auprc")


def metrics(targets: np.ndarray, probs: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> Values:
    """Each metric of NAMES, R values.

    targets: N, 0…K-1. probs: N×K. predicted: N, 0…K-1. weights: R×N, not negative.
    """
    classes = probs.shape[1]
    positives = [1] if classes == 2 else list(range(classes))
    per_class = [one_against_rest(targets == k, predicted == k, probs[:, k], weights) for k in positives]
    means = {name: np.mean([values[name] for values in per_class], axis=0) for name in per_class[0]}
    recalls = [_ratio(weights @ ((targets == k) & (predicted == k)), weights @ (targets == k)) for k in range(classes)]
    accuracy = _ratio(weights @ (targets == predicted), weights.sum(axis=1))
    return {"accuracy": accuracy, "balanced_accuracy": np.mean(recalls, axis=0), **means}


def one_against_rest(truth: np.ndarray, said: np.ndarray, score: np.ndarray, weights: np.ndarray) -> Values:
    """truth, said: N booleans. score: N. weights: R×N."""
    tp, fp = weights @ (truth & said), weights @ (~truth & said)
    fn, tn = weights @ (truth & ~said), weights @ (~truth & ~said)
    return {
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "ppv": _ratio(tp, tp + fp),
        "npv": _ratio(tn, tn + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "auroc": auroc(truth, score, weights),
        "auprc": auprc(truth, score, weights),
    }


def auprc(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision: precision at each threshold, weighted by the recall it adds; R values."""
    hits, misses = _by_threshold(truth, score, weights)
    tp, fp = np.cumsum(hits, axis=1), np.cumsum(misses, axis=1)
    precision = np.divide(tp, tp + fp, out=np.zeros_like(tp), where=tp + fp > 0)
    return _ratio((hits * precision).sum(axis=1), hits.sum(axis=1))


def _by_threshold(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight of positives and of negatives at each distinct score, highest first: two arrays R×T."""
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    sorted_weights = weights[:, order].astype(np.float64)
    hits = np.add.reduceat(sorted_weights * truth[order], starts, axis=1)
    misses = np.add.reduceat(sorted_weights * ~truth[order], starts, axis=1)
    return hits, misses


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    out = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def per_class(targets: np.ndarray, predicted: np.ndarray, classes: list[str]) -> dict[str, dict[str, float | None]]:
    """Precision, recall, F1 and support of each class; None where nothing was predicted or there is none of it."""
    found: dict[str, dict[str, float | None]] = {}
    for k, name in enumerate(classes):
        tp = np.sum((targets == k) & (predicted == k))
        said, support = np.sum(predicted == k), np.sum(targets == k)
        found[name] = {
            "precision": float(tp / said) if said else None,
            "recall": float(tp / support) if support else None,
            "f1": float(2 * tp / (said + support)) if said + support else None,
            "support": int(support),
        }
    return found
