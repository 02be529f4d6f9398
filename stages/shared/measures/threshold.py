"""From scores to decisions: an image is called positive where its score is above a threshold, chosen on validation.

Shapes: N images, T distinct scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from ..core.errors import UserError, unknown
from .statistics import TOLERANCE, once, threshold_counts

WHERE = "params.yaml: evaluate.operating_point"
RULES = ("youden", "sensitivity", "specificity", "cost")
"""That need images of both kinds."""


class Rule(Protocol):
    """How a threshold is chosen (core/judging.py says what each rule means)."""

    @property
    def rule(self) -> Literal["youden", "sensitivity", "specificity", "cost", "normal_quantile"]: ...

    @property
    def sensitivity(self) -> float: ...

    @property
    def specificity(self) -> float: ...

    @property
    def miss_cost(self) -> float: ...

    @property
    def false_alarms(self) -> float: ...


@dataclass(frozen=True)
class Choice:
    """reason: why the rule had nothing to choose from, so that the threshold is the one to fall back on; else empty."""

    threshold: float
    reason: str = ""


def choose(
    score: np.ndarray, positive: np.ndarray, rule: Rule, otherwise: float | None = None, prevalence: float | None = None
) -> Choice:
    """`score`, `positive`: N, of the validation images. `otherwise`: the threshold where the images are of one kind, or
    all have one score; None: there is no such threshold. `prevalence`: of the positives, for `cost`; None: as among the
    images.

    Raises:
        UserError: they cannot give a threshold.
    """
    if rule.rule == "normal_quantile":
        return Choice(normal_quantile(score[~positive], rule.false_alarms))
    if positive.all() or not positive.any():
        kind = "no positive" if not positive.any() else "no negative"
        if otherwise is None:
            raise UserError(
                f"{WHERE}: there is {kind} image among the {len(score)} validation images, and rule {rule.rule} needs "
                "both. Take another fold, or fewer preprocess.split.folds."
            )
        return Choice(otherwise, f"there is {kind} validation image")
    reason = "" if np.ptp(score) > 0 else "all validation images have the same score"
    if reason and otherwise is not None:
        return Choice(otherwise, reason)
    if rule.rule == "youden":
        return Choice(youden(score, positive), reason)
    if rule.rule == "sensitivity":
        return Choice(at_sensitivity(score, positive, rule.sensitivity), reason)
    if rule.rule == "specificity":
        return Choice(at_specificity(score, positive, rule.specificity), reason)
    return Choice(least_cost(score, positive, rule.miss_cost, prevalence), reason)


@dataclass(frozen=True)
class Cuts:
    """All ways to cut the images in two by score: number i calls the i highest of T scores positive, 0 none.

    tpr, fpr: T + 1 rates. levels: T scores, the highest first.
    """

    levels: np.ndarray
    tpr: np.ndarray
    fpr: np.ndarray

    def threshold(self, i: int) -> float:
        """Half-way to the next lower score, so that no image of another set lies on it by rounding."""
        if i == 0:
            return float(self.levels[0])
        own = self.levels[i - 1]
        below = self.levels[i] if i < len(self.levels) else np.nextafter(own, -np.inf)
        middle = (own + below) / 2
        return float(middle if middle < own else below)  # between two neighbouring floats there is none


def cuts(score: np.ndarray, positive: np.ndarray) -> Cuts:
    hits, false_alarms = (counts[0] for counts in threshold_counts(positive, score, once(len(score))))
    tpr, fpr = (np.r_[0, counts.cumsum()] / max(counts.sum(), 1) for counts in (hits, false_alarms))
    return Cuts(np.unique(score)[::-1], tpr, fpr)


def lowest(values: np.ndarray) -> int:
    """The last of the smallest values: of equally good cuts the one that calls most images positive."""
    return int(np.flatnonzero(values <= values.min() + 1e-12)[-1])


def youden(score: np.ndarray, positive: np.ndarray) -> float:
    """Where sensitivity + specificity is highest."""
    own = cuts(score, positive)
    return own.threshold(lowest(own.fpr - own.tpr))


def at_sensitivity(score: np.ndarray, positive: np.ndarray, least: float) -> float:
    """The highest specificity of all cuts with at least this sensitivity."""
    own = cuts(score, positive)
    return own.threshold(int(np.flatnonzero(own.tpr >= least - TOLERANCE)[0]))


def at_specificity(score: np.ndarray, positive: np.ndarray, least: float) -> float:
    """The highest sensitivity of all cuts with at least this specificity; of equals the one with the fewest false
    alarms. Where even the highest score is too often a false alarm, nothing is called positive."""
    own = cuts(score, positive)
    allowed = np.where(own.fpr <= 1 - least + TOLERANCE, own.tpr, -1)
    return own.threshold(int(allowed.argmax()))


def least_cost(score: np.ndarray, positive: np.ndarray, miss_cost: float, prevalence: float | None = None) -> float:
    """The least expected cost of an image, where a miss costs `miss_cost` times as much as a false alarm."""
    own, share = cuts(score, positive), float(positive.mean()) if prevalence is None else prevalence
    return own.threshold(lowest(share * miss_cost * (1 - own.tpr) + (1 - share) * own.fpr))


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
            f"{WHERE}.false_alarms: {false_alarms:g} needs {math.ceil(1 / false_alarms - 1 - 1e-9)} normal validation "
            f"images, and there are {n}. Give at least {math.ceil(1e4 / (n + 1)) / 1e4:g}, fewer "
            "preprocess.split.folds, or rule: youden."
        )
    return float(np.sort(normal)[rank - 1])


def prevalences(stated: float | Mapping[str, float] | None, names: Sequence[str]) -> dict[str, float | None]:
    """Of each positive class; None: as among the images.

    Raises:
        UserError: one number for several classes, or a class that there is not.
    """
    if isinstance(stated, Mapping):
        if wrong := [name for name in stated if name not in names]:
            raise unknown("params.yaml: evaluate.prevalence", wrong[0], names)
        return {name: stated.get(name) for name in names}
    if stated is not None and len(names) > 1:
        raise UserError(
            f"params.yaml: evaluate.prevalence: {stated:g} is one number, and there are {len(names)} classes. Give one "
            f"of each, e.g. {{{names[-1]}: {stated:g}}}, or null: that of the test images."
        )
    return dict.fromkeys(names, stated)
