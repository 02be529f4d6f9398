"""From scores to alarms: an image is an alarm where its score is above a threshold, chosen on validation images."""

from __future__ import annotations

import math
from typing import Literal, Protocol

import numpy as np

from ..core.errors import UserError
from .statistics import once, threshold_counts


class Rule(Protocol):
    """How a threshold is chosen."""

    @property
    def rule(self) -> Literal["youden", "normal_quantile"]: ...

    @property
    def false_alarms(self) -> float:
        """Share of normal images; of normal_quantile."""


def choose(score: np.ndarray, anomalous: np.ndarray, rule: Rule) -> float:
    """`score`, `anomalous`: of the validation images. Raises UserError where they cannot give a threshold."""
    if rule.rule == "youden":
        return youden(score, anomalous)
    return normal_quantile(score[~anomalous], rule.false_alarms)


def youden(score: np.ndarray, anomalous: np.ndarray) -> float:
    """Where sensitivity + specificity is highest; of several such places the one with the most alarms. Half-way to the
    next lower score, so that no image of another set lies on it by rounding."""
    hits, false_alarms = (counts[0] for counts in threshold_counts(anomalous, score, once(len(score))))
    levels = np.unique(score)[::-1]
    index = hits.cumsum() / max(hits.sum(), 1) - false_alarms.cumsum() / max(false_alarms.sum(), 1)
    best = int(np.flatnonzero(index >= index.max() - 1e-12)[-1])
    below = levels[best + 1] if best + 1 < len(levels) else np.nextafter(levels[best], -np.inf)
    middle = (levels[best] + below) / 2
    return float(middle if middle < levels[best] else below)  # between two neighbouring floats there is none


def normal_quantile(normal: np.ndarray, false_alarms: float) -> float:
    """The ⌈(n + 1)(1 − false_alarms)⌉-th smallest of n normal scores: a further normal image, one that might as well
    have been among them, is a false alarm with at most that probability (split conformal prediction, Vovk et al. 2005).

    Raises:
        UserError: fewer than 1 / false_alarms − 1 scores cannot promise that.
    """
    n = len(normal)
    rank = math.ceil((n + 1) * (1 - false_alarms) - 1e-9)
    if rank > n:
        raise UserError(
            f"params.yaml: evaluate.threshold.false_alarms: {false_alarms:g} needs "
            f"{math.ceil(1 / false_alarms - 1 - 1e-9)} normal validation images, and there are {n}. Give at least "
            f"{math.ceil(1e4 / (n + 1)) / 1e4:g}, fewer preprocess.split.folds, or rule: youden."
        )
    return float(np.sort(normal)[rank - 1])
