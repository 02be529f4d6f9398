"""Classifier two-sample test (Lopez-Paz & Oquab 2017): a classifier learns to tell the new images from the reference,
and is asked about patients that it has not seen. An area under the ROC curve of 0.5 is a guess; where the samples
differ, it is higher, and how much higher is the size of the difference.

The classifier is a ridge regression of the sample's number. What it answers is linear in those numbers, so all
permutations cost little more than one. Areas compare images of one fold, whose answers come from one classifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...shared.measures.intervals import area_spread, rate_interval, support
from .sample import Pair

RIDGE = 0.1  # added to the variances of the features, which are 1
FOLDS, REPEATS = 5, 3


@dataclass(frozen=True)
class Fold:
    """Images of patients that the classifier has not seen. of_image: their numbers. answers: R×n."""

    images: np.ndarray
    answers: np.ndarray


def folds(pair: Pair, rows: np.ndarray, seed: int, repeats: int = REPEATS) -> Iterator[Fold]:
    """Answers about every image, `repeats` times, by classifiers that learned from other patients. Folds depend on no
    sample, so that they are the same in every permutation."""
    rng, weight = np.random.default_rng(seed), pair.weight
    targets = rows.astype(np.float32)
    for _ in range(repeats):
        fold_of = (rng.permutation(len(pair.new)) % FOLDS)[pair.of_image]
        for fold in range(FOLDS):
            seen, unseen = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
            if len(unseen) and len(seen):
                map_ = answering(pair.features[seen], weight[seen], pair.features[unseen])
                yield Fold(unseen, targets[:, pair.of_image[seen]] @ map_.astype(np.float32).T)


def answering(seen: np.ndarray, weight: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """u×s: from the targets of s seen images to the answers for u unseen ones, but for a constant."""
    share = weight / weight.sum()
    mean = share @ seen
    centred = seen - mean
    covariance = (centred * share[:, None]).T @ centred
    covariance[np.diag_indices_from(covariance)] += RIDGE
    return np.asarray((unseen - mean) @ np.linalg.solve(covariance, (centred * share[:, None]).T))


def areas(folds: Sequence[Fold], new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """R areas under the ROC curve, over all pairs of a new and an old image in one fold. `new`, `old`: weights of the
    images in each sample, R×N (or 1×N)."""
    hits, pairs = 0.0, 0.0
    for fold in folds:
        order = np.argsort(fold.answers, axis=1)
        above, below = (
            np.take_along_axis(np.broadcast_to(part[:, fold.images], order.shape), order, axis=1) for part in (new, old)
        )
        hits = hits + (above * (below.cumsum(axis=1) - below / 2)).sum(axis=1, dtype=np.float64)
        pairs = pairs + above.sum(axis=1, dtype=np.float64) * below.sum(axis=1, dtype=np.float64)
    return np.asarray(hits / np.maximum(pairs, 1e-300))


def permuted_areas(pair: Pair, rows: np.ndarray, folds: Sequence[Fold]) -> np.ndarray:
    """R areas, that of the samples as they are first."""
    weight, of_image = pair.weight.astype(np.float32), rows[:, pair.of_image]
    return areas(folds, of_image * weight, ~of_image * weight)


def interval(
    pair: Pair, folds: Sequence[Fold], area: float, draws: int, level: float, seed: int
) -> tuple[float, float]:
    """Of the area for these classifiers: patients of both samples are drawn anew."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((draws, len(pair.new)))
    for sample in (pair.new, ~pair.new):
        size = int(sample.sum())
        counts[:, sample] = rng.multinomial(size, np.full(size, 1 / size), size=draws)
    is_new = pair.new[pair.of_image]
    weights = counts[:, pair.of_image] * pair.weight
    rows = [Fold(fold.images, np.broadcast_to(fold.answers[:1], (draws, len(fold.images)))) for fold in folds]
    drawn = areas(rows, weights * is_new, weights * ~is_new)
    return rate_interval(area, drawn, support([is_new, ~is_new], pair.of_image), area_spread, level)


def standard_error(area: float, new: int, old: int) -> float:
    """Of an area with so many patients in each sample (Hanley & McNeil 1982)."""
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (new - 1) * (one - area**2) + (old - 1) * (two - area**2)
    return float(np.sqrt(variance / (new * old)))


def smallest(critical: float, new: int, old: int, quantile: float) -> float:
    """The least area that is found with a power of Φ(quantile); at most 1."""
    return min(1.0, critical + quantile * standard_error(min(max(critical, 0.5), 1.0), new, old))


def unlikeness(folds: Sequence[Fold], images: int) -> np.ndarray:
    """N: how sure the classifiers are that an image is a new one: ranks within its fold, 0…1, averaged."""
    total, count = np.zeros(images), np.zeros(images)
    for fold in folds:
        size = len(fold.images)
        total[fold.images] += fold.answers[0].argsort().argsort() / max(size - 1, 1)
        count[fold.images] += 1
    return np.asarray(total / np.maximum(count, 1))
