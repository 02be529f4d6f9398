"""From a classifier's probabilities to calibrated ones, by a map that is fitted on validation images.

Shapes: N images, K classes, M of them calibrated on their own: of two the last one, which says all; of more each
against the rest, and then the row is scaled to a sum of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Method = Literal["temperature", "platt", "isotonic", "none"]
FEWEST: Mapping[Method, int] = {"temperature": 10, "platt": 10, "isotonic": 50, "none": 0}
"""Validation images that a method needs: with fewer it would learn their noise."""
TEMPERATURES = (0.05, 20.0)  # ends of the search


@dataclass(frozen=True)
class Calibration:
    """`method`: what was fitted. `parameters`: what it needs (see the functions of APPLY). `images`: it was fitted on.
    `reason`: why nothing was fitted though a method was asked for."""

    method: Method
    parameters: Mapping[str, Any]
    images: int
    reason: str | None = None

    def apply(self, log_probabilities: np.ndarray) -> np.ndarray:
        """N×K -> calibrated probabilities, N×K."""
        return APPLY[self.method](log_probabilities, self.parameters)


def fit(method: Method, log_probabilities: np.ndarray, truth: np.ndarray) -> Calibration:
    """`log_probabilities`: N×K, of the validation images. `truth`: N class numbers."""
    images, counts = len(truth), np.bincount(truth, minlength=log_probabilities.shape[1])
    reason = None
    if images < FEWEST[method]:
        reason = f"{method} needs {FEWEST[method]} validation images, and there are {images}"
    elif method != "none" and (counts == 0).any():
        reason = f"{int((counts == 0).sum())} of {len(counts)} classes have no validation image"
    if reason is not None or method == "none":
        return Calibration("none", {}, images, reason)
    return Calibration(method, FIT[method](log_probabilities, truth), images)


def temperature(log_probabilities: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """The one number that all logits are divided by, with the least log loss (Guo et al. 2017). `at_limit`: it is an
    end of the search, as where the validation images are told apart without an error."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(log_probabilities / np.exp(log_temperature))
        return float(-scaled[np.arange(len(truth)), truth].mean())

    low, high = np.log(TEMPERATURES)
    best = float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-7}).x)
    return {"temperature": float(np.exp(best)), "at_limit": bool(min(best - low, high - best) < 1e-3)}


def platt(log_probabilities: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Logistic regression on the log-odds of each class. Targets are a little inside of 0 and 1, so that it ends where
    classes are told apart without an error (Platt 1999)."""
    from sklearn.linear_model import LogisticRegression

    slopes, intercepts = [], []
    for k, scores in zip(positives(log_probabilities), log_odds(log_probabilities), strict=True):
        inside = truth == k
        target = np.where(inside, (inside.sum() + 1) / (inside.sum() + 2), 1 / ((~inside).sum() + 2))
        both, answers = np.tile(scores, 2)[:, None], np.repeat([True, False], len(scores))
        line = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
        line.fit(both, answers, sample_weight=np.concatenate([target, 1 - target]))
        slopes.append(float(line.coef_[0, 0]))
        intercepts.append(float(line.intercept_[0]))
    return {"slope": slopes, "intercept": intercepts}


def isotonic(log_probabilities: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """The rising line through the observed shares that is closest to them (Zadrozny & Elkan 2002). `from`, `to`: its
    corners, log-odds and probability."""
    from sklearn.isotonic import IsotonicRegression

    lines = [
        IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, truth == k)
        for k, scores in zip(positives(log_probabilities), log_odds(log_probabilities), strict=True)
    ]
    return {
        "from": [line.X_thresholds_.tolist() for line in lines],
        "to": [line.y_thresholds_.tolist() for line in lines],
    }


FIT: Mapping[str, Callable[[np.ndarray, np.ndarray], dict[str, Any]]] = {
    "temperature": temperature,
    "platt": platt,
    "isotonic": isotonic,
}


def by_temperature(log_probabilities: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
    return np.asarray(np.exp(log_softmax(log_probabilities / parameters["temperature"])))


def by_platt(log_probabilities: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
    from scipy.special import expit

    slope, intercept = (np.array(parameters[name])[:, None] for name in ("slope", "intercept"))
    return whole(expit(slope * log_odds(log_probabilities) + intercept))


def by_isotonic(log_probabilities: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
    lines = zip(log_odds(log_probabilities), parameters["from"], parameters["to"], strict=True)
    return whole([np.interp(scores, x, y) for scores, x, y in lines])


def unchanged(log_probabilities: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
    return np.asarray(np.exp(log_softmax(log_probabilities)))


APPLY: Mapping[str, Callable[[np.ndarray, Mapping[str, Any]], np.ndarray]] = {
    "temperature": by_temperature,
    "platt": by_platt,
    "isotonic": by_isotonic,
    "none": unchanged,
}


def positives(log_probabilities: np.ndarray) -> list[int]:
    """The M classes that are calibrated on their own."""
    classes = log_probabilities.shape[1]
    return [1] if classes == 2 else list(range(classes))


def log_odds(log_probabilities: np.ndarray) -> np.ndarray:
    """M×N: log p - log(1 - p) of each class, without 1 - p, which rounds to 0 for a model that is sure."""
    from scipy.special import logsumexp

    others = [np.delete(log_probabilities, k, axis=1) for k in positives(log_probabilities)]
    own = log_probabilities[:, positives(log_probabilities)].T
    return np.asarray(own - [logsumexp(rest, axis=1) for rest in others])


def whole(single: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """M×N probabilities of single classes -> N×K that sum to 1; where all are 0, all classes are equally likely."""
    p = np.asarray(single).T
    if p.shape[1] == 1:
        return np.concatenate([1 - p, p], axis=1)
    total = p.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(p, total, out=np.full_like(p, 1 / p.shape[1]), where=total > 0))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    from scipy.special import log_softmax

    return np.asarray(log_softmax(logits, axis=1))
