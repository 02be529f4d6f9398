"""How frequent is each class among images without labels, if each class still looks as it did in the reference?

Black box shift estimation (Lipton, Wang & Smola 2018) with probabilities in place of predicted classes: a model that
gives class i a mean probability of C[i, j] on images of class j gives it Σ_j C[i, j] q_j where class j has share q_j.
The mean answers of new images are known, and C from the reference, so q follows.

Shapes: N images, K classes, R draws or permutations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...shared.measures.intervals import percentile_interval
from .sample import Sample

LEAST = 0.05
"""Where the answers to two classes differ by less, the model cannot tell them apart and no prevalence follows."""

SINGULAR = 1e-6
"""Up to this smallest singular value rounding errors would decide the shares."""


@dataclass(frozen=True)
class Prevalence:
    """Of each class: share of the reference's images, of the new ones as estimated, and the ends of its interval. Each
    patient counts once. answers: mean probabilities of both samples. resolution: how far the mean answers of the two
    classes that are hardest to tell apart differ; 1 for a perfect model. independence: the same of a class and a
    mixture of others (the smallest singular value of the answers by class); 1 for a perfect model, 0 where the shares
    do not follow from the answers."""

    reference: np.ndarray
    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    answers: np.ndarray
    resolution: float
    independence: float

    @property
    def known(self) -> bool:
        """Whether shares follow from the answers: else they are not identifiable."""
        apart = self.resolution >= LEAST and self.independence >= LEAST / 2  # of two classes the first says it all
        return apart and bool(np.isfinite([self.estimate, self.low, self.high]).all())


def shifts(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """R distances (total variation) between the mean answers of both samples. `weights`: R×N of `signed`."""
    return np.asarray(np.abs(weights @ probabilities.astype(np.float32)).sum(axis=1) / 2)


def estimate(reference: Sample, new: Sample, draws: int, level: float, seed: int) -> Prevalence:
    """Every class needs an image in the reference; patients of both samples are drawn anew for the intervals."""
    if reference.labels is None:
        raise ValueError("the reference needs labels")
    rng = np.random.default_rng(seed)
    known, asked = (_counts(sample, draws, rng) for sample in (reference, new))
    confusion, shares = _confusion(reference.probabilities, reference.labels, known)
    answers = asked @ new.probabilities / asked.sum(axis=1, keepdims=True)
    solved = solve(confusion, answers)
    low, high = np.transpose([percentile_interval(column, level) for column in solved[1:].T])
    own = known[:1] @ reference.probabilities / known[0].sum()
    means = np.concatenate([own, answers[:1]])
    return Prevalence(
        shares[0], solved[0], low, high, means, resolution(confusion[0]), float(independence(confusion[:1])[0])
    )


def solve(confusion: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """R×K shares, from R×K×K and R×K; negative ones are set to 0, and the rest sums to 1. NaN where there is no one
    answer: a class is answered like another, or like a mixture of others."""
    solvable = independence(confusion) > SINGULAR
    shares = np.full(answers.shape, np.nan)
    if solvable.any():
        shares[solvable] = np.linalg.solve(confusion[solvable], answers[solvable][..., None])[..., 0]
    shares = np.clip(shares, 0, None)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def resolution(confusion: np.ndarray) -> float:
    """The smallest distance (total variation) between the answers to two classes, K×K."""
    apart = np.abs(confusion[:, :, None] - confusion[:, None]).sum(axis=0) / 2
    return float(apart[np.triu_indices(len(confusion), 1)].min())


def independence(confusion: np.ndarray) -> np.ndarray:
    """The smallest singular value of each, R from R×K×K; 0 where a class has no answers at all."""
    values, finite = np.zeros(len(confusion)), np.isfinite(confusion).all(axis=(1, 2))
    values[finite] = np.linalg.svd(confusion[finite], compute_uv=False)[:, -1]
    return values


def matched(reference: Sample, shares: np.ndarray, rng: np.random.Generator) -> Sample:
    """As many patients of the reference as have the classes in these shares, drawn at random: what is still different
    then is not the prevalence. A patient is of the class of its first image."""
    if reference.labels is None:
        raise ValueError("the reference needs labels")
    _, first, of_image = np.unique(reference.patients, return_index=True, return_inverse=True)
    label = reference.labels[first]
    there = np.bincount(label, minlength=len(shares))
    wanted = shares > 0
    total = (there[wanted] / shares[wanted]).min()
    kept: list[int] = []
    for number, share in enumerate(shares):
        patients = np.flatnonzero(label == number)
        kept += rng.permutation(patients)[: round(total * share)].tolist()
    return reference.take(np.flatnonzero(np.isin(of_image, kept)))


def _counts(sample: Sample, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(1 + draws)×N weights: each patient once, then as often as it was drawn; divided among its images."""
    _, of_image, sizes = np.unique(sample.patients, return_inverse=True, return_counts=True)
    patients = len(sizes)
    counts = rng.multinomial(patients, np.full(patients, 1 / patients), size=draws)
    return np.concatenate([np.ones((1, patients)), counts])[:, of_image] / sizes[of_image]


def _confusion(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean answers R×K×K, answer × class; shares of the classes R×K). A class that no draw has is taken as it is in
    all images."""
    classes = probabilities.shape[1]
    sums = np.stack([weights[:, labels == j] @ probabilities[labels == j] for j in range(classes)], axis=2)
    counts = np.stack([weights[:, labels == j].sum(axis=1) for j in range(classes)], axis=1)
    whole = sums[:1] / counts[:1, None, :]
    means = np.where(counts[:, None, :] > 0, sums / np.maximum(counts[:, None, :], 1e-300), whole)
    return means, counts / counts.sum(axis=1, keepdims=True)
