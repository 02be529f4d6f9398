"""Resampling patients, not images: images of one patient resemble each other, and counting them as independent makes
every interval too narrow."""

from __future__ import annotations

import numpy as np

from .metrics import Values


def patient_weights(patients: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """R×N: how often each image's patient is drawn, in R draws of as many patients as there are, with replacement."""
    names, position = np.unique(patients, return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)  # R×patients
    return drawn[:, position].astype(np.float64)


def intervals(values: Values, confidence: float) -> dict[str, tuple[float, float]]:
    """Percentile intervals. A metric that no resample could compute has (NaN, NaN)."""
    tail = (1 - confidence) / 2
    found = {}
    for name, sample in values.items():
        known = sample[~np.isnan(sample)]
        low, high = np.quantile(known, [tail, 1 - tail]) if len(known) else (np.nan, np.nan)
        found[name] = (float(low), float(high))
    return found
