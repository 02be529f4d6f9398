"""Did the search help? The best settings of both searches and the present ones, trained with seeds that chose nothing,
and the differences between them.

Trainings on several folds share most of their images, so that their values vary less than those of independent ones. A
t interval of their differences would claim too much; the variance is corrected for that (Nadeau & Bengio 2003; for
repeated folds Bouckaert & Frank 2004). One fold says nothing about other validation images: then there is no interval.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .search import RANDOM, SEARCH
from .space import Values

PRESENT = "present"
CONFIDENCE = 0.95
LABELS = {
    SEARCH: "the search",
    RANDOM: "the random search",
    PRESENT: "the present settings",
}


@dataclass(frozen=True)
class Candidate:
    """Settings, and what they gave with seeds that chose nothing: one value per fold and seed, in the same order for
    every candidate."""

    name: str
    values: Values
    scores: Sequence[float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores)


@dataclass(frozen=True)
class Difference:
    """Of the means of two candidates, `first` minus `second`, with a 95% interval, which is infinite where there is
    none. Positive: the first is better."""

    first: str
    second: str
    mean: float
    low: float
    high: float
    same_settings: bool

    @property
    def verdict(self) -> str:
        """better | worse | same settings | not shown to differ"""
        if self.same_settings:
            return "same settings"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "not shown to differ"


def difference(first: Candidate, second: Candidate, folds: int, validation_share: float, sign: int) -> Difference:
    """folds: on which each candidate was trained. validation_share: validation images as a share of training images, of
    one training. sign: -1 where lower is better."""
    pairs = [sign * (a - b) for a, b in zip(first.scores, second.scores, strict=True)]
    mean, half = statistics.fmean(pairs), half_width(pairs, validation_share) if folds > 1 else math.inf
    return Difference(first.name, second.name, mean, mean - half, mean + half, first.values == second.values)


def half_width(pairs: Sequence[float], validation_share: float) -> float:
    """Of the corrected t interval, of two pairs or more."""
    from scipy.stats import t

    variance = statistics.variance(pairs) * (1 / len(pairs) + validation_share)
    return float(t.ppf((1 + CONFIDENCE) / 2, len(pairs) - 1)) * math.sqrt(variance)


def differences(
    candidates: Mapping[str, Candidate], folds: int, validation_share: float, sign: int
) -> list[Difference]:
    """Between the search and the other two, of which one that could not be trained is missing."""
    others = [candidates[name] for name in (RANDOM, PRESENT) if name in candidates]
    return [difference(candidates[SEARCH], other, folds, validation_share, sign) for other in others]


def winner(candidates: Mapping[str, Candidate], sign: int) -> Candidate:
    """The best mean; where two are equal, the one that changes less."""
    order = [candidates[name] for name in (PRESENT, RANDOM, SEARCH) if name in candidates]
    return max(order, key=lambda candidate: sign * candidate.mean)


def sentence(difference: Difference, metric: str) -> str:
    first, second = (LABELS[name] for name in (difference.first, difference.second))
    if difference.verdict == "same settings":
        return f"{first.capitalize()} ended with the same settings as {second}."
    interval = f"{difference.mean:+.3f} {metric}, 95% interval {difference.low:+.3f} to {difference.high:+.3f}"
    if math.isinf(difference.low):
        interval = f"{difference.mean:+.3f} {metric}, without an interval, since tune.folds is 1"
    claim = {
        "better": f"{first.capitalize()} beat {second}",
        "worse": f"{second.capitalize()} beat {first}",
        "not shown to differ": f"{first.capitalize()} was not shown to beat {second}",
    }[difference.verdict]
    return f"{claim}: {interval}."
