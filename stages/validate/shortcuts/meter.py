"""How well a linear model tells the labels of patients it has not seen apart.

Standardised logistic regression, cross-validated: images of a patient, and of patients who share a picture, are in one
fold. The AUROC is that of all images, each scored by the model of the folds that it is not in; with more than two
classes the mean over the classes, each against the rest. Its interval is that of a bootstrap of groups.

Shapes: N images, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ...shared.core.deal import deal
from ...shared.measures.intervals import area_spread, draws, rate_interval, support
from ...shared.measures.statistics import auroc, once

FOLDS = 5
FEWEST = 3  # groups of each class
REGULARISATION = 0.01  # C of scikit-learn's logistic regression: hundreds of pixels, hundreds of images
DRAWS = 1000


@dataclass(frozen=True)
class Reading:
    value: float
    low: float
    high: float


def folds_of(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The fold of each image, N; as many folds as the rarest class has groups, at most FOLDS.

    Raises: ValueError: a class has fewer groups than FEWEST.
    """
    fewest = min(len(np.unique(groups[labels == k])) for k in np.unique(labels))
    if fewest < FEWEST:
        raise ValueError(f"a class has images of fewer than {FEWEST} patients")
    folds = min(FOLDS, fewest)
    counts = np.zeros((groups.max() + 1, labels.max() + 1), int)
    np.add.at(counts, (groups, labels), 1)
    return np.asarray(deal(counts, [1 / folds] * folds, [1] * folds, seed=0)[groups])


def out_of_fold(
    features: np.ndarray, labels: np.ndarray, fold: np.ndarray, learnt: Callable[[np.ndarray], np.ndarray] | None = None
) -> np.ndarray:
    """Probabilities N×K, each from a model that was fitted on the other folds. `labels`: class numbers. `learnt`: the
    features for the images of these folds, where they depend on them (`Evidence`)."""
    probabilities = np.zeros((len(labels), labels.max() + 1))
    for k in range(fold.max() + 1):
        seen, held_out = fold != k, fold == k
        linear = LogisticRegression(C=REGULARISATION, class_weight="balanced", max_iter=2000)
        own = learnt(seen) if learnt else features
        model = make_pipeline(StandardScaler(), linear).fit(own[seen], labels[seen])
        probabilities[np.ix_(held_out, model.classes_)] = model.predict_proba(own[held_out])
    return probabilities


def read(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray, level: float) -> Reading:
    """AUROC, macro, and its interval."""
    classes = [1] if probabilities.shape[1] == 2 else list(range(probabilities.shape[1]))

    def macro(weights: np.ndarray) -> np.ndarray:
        return np.asarray(np.mean([auroc(labels == k, probabilities[:, k], weights) for k in classes], axis=0))

    value = float(macro(once(len(labels)))[0])
    drawn = np.concatenate([macro(weights) for weights in draws(groups.tolist(), DRAWS, seed=0)])
    rests_on = support([labels == k for k in range(probabilities.shape[1])], groups)
    low, high = rate_interval(value, drawn, rests_on, area_spread, level)
    return Reading(value, min(low, value), max(high, value))
