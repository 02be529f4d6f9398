"""Logistic regression, as strongly regularised as the validation images like it best.

Shapes: N images, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0)
"""C of scikit-learn's LogisticRegression on standardised features: the smaller, the stronger."""
PATIENCE = 300  # steps of the solver


@dataclass(frozen=True)
class Fit:
    """`probabilities`: N×K, of the rows that were asked for. `strength`: the one of STRENGTHS that was chosen."""

    probabilities: np.ndarray
    strength: float


def fit(
    features: np.ndarray, labels: np.ndarray, train: np.ndarray, asked: np.ndarray, score: Callable[[np.ndarray], float]
) -> Fit:
    """`features`: of all images. `train`, `asked`: positions of the images to learn from and to predict. `score`:
    probabilities of `asked` -> how good those of the validation images are; of equals the strongest regularisation."""
    scaler = StandardScaler().fit(features[train])
    seen, rows, own = scaler.transform(features[train]), scaler.transform(features[asked]), labels[train]
    fits = []
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=PATIENCE).fit(seen, own)
        probabilities = np.zeros((len(asked), labels.max() + 1))
        probabilities[:, model.classes_] = model.predict_proba(rows)
        fits.append(Fit(probabilities, strength))
    values = [score(each.probabilities) for each in fits]
    return fits[int(np.argmax(np.nan_to_num(values, nan=-np.inf)))]
