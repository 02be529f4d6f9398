"""Images as the statistics see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Sample:
    """features: float N×F. facts: by name, float N; NaN where it is not known. patients: N names. probabilities: float
    N×K, calibrated. labels: N class numbers, of the reference alone."""

    features: np.ndarray
    facts: Mapping[str, np.ndarray]
    patients: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.features)

    @property
    def count(self) -> int:
        """Of the patients."""
        return len(np.unique(self.patients))

    def take(self, rows: np.ndarray) -> Sample:
        return replace(
            self,
            features=self.features[rows],
            facts={name: values[rows] for name, values in self.facts.items()},
            patients=self.patients[rows],
            probabilities=self.probabilities[rows],
            labels=None if self.labels is None else self.labels[rows],
        )

    def some(self, images: int, rng: np.random.Generator) -> np.ndarray:
        """Rows of whole patients, drawn at random, of so many images at most; the first patient is in them anyway."""
        if len(self) <= images:
            return np.arange(len(self))
        _, of_image, sizes = np.unique(self.patients, return_inverse=True, return_counts=True)
        order = rng.permutation(len(sizes))
        kept = order[: max(1, int(np.searchsorted(sizes[order].cumsum(), images, side="right")))]
        return np.flatnonzero(np.isin(of_image, kept))

    def at_most(self, images: int, rng: np.random.Generator) -> Sample:
        return self.take(self.some(images, rng))


@dataclass(frozen=True)
class Pair:
    """Two samples, the reference first. features: N×F, standardised over both. of_image: N numbers of patients,
    0…P−1. new: P booleans. A patient of one sample is never one of the other: equal names may be chance."""

    features: np.ndarray
    of_image: np.ndarray
    new: np.ndarray

    @property
    def weight(self) -> np.ndarray:
        """N: those of one patient sum to 1."""
        return np.asarray(1 / np.bincount(self.of_image)[self.of_image])


def pair(reference: Sample, new: Sample) -> Pair:
    one, other = (np.unique(sample.patients, return_inverse=True)[1] for sample in (reference, new))
    patients = int(one.max()) + 1
    of_image = np.concatenate([one, other + patients])
    is_new = np.arange(of_image.max() + 1) >= patients
    return Pair(standardised(np.concatenate([reference.features, new.features])), of_image, is_new)


def standardised(features: np.ndarray) -> np.ndarray:
    """float64 N×F′: mean 0 and standard deviation 1; columns that do not vary are left out. Turned into at most N
    orthogonal ones, which changes neither a distance nor a ridge regression."""
    values = np.asarray(features, np.float64)
    values = values[:, np.ptp(values, axis=0) > 0]
    values = (values - values.mean(axis=0)) / values.std(axis=0) if values.size else values
    if values.shape[1] <= len(values):
        return values
    left, sizes, _ = np.linalg.svd(values, full_matrices=False)
    return np.asarray(left * sizes)
