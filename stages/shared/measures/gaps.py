"""Differences between groups of images, with intervals that hold for all of them at once.

The interval of one difference is made from the score intervals of both groups and the correlation of their draws
(MOVER: Donner & Zou 2012; of two independent rates it is Newcombe's, 1998). It has width where a group is right about
every image, which the variance of the draws alone would not show.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .intervals import Support, joint_probability, percentile_interval, rate_interval
from .measure import Measure

K = TypeVar("K", bound=Hashable)
CHUNK = 256  # differences in memory at once


@dataclass(frozen=True)
class Score:
    """A metric of one group: its value, R draws, and what it rests on; None: it is no rate."""

    value: float
    drawn: np.ndarray
    measure: Measure
    support: Support | None

    def interval(self, level: float) -> tuple[float, float]:
        if self.support is None or self.measure.spread is None:
            low, high = percentile_interval(self.drawn, level)
        else:
            low, high = rate_interval(self.value, self.drawn, self.support, self.measure.spread, level)
        return float(np.minimum(low, self.value)), float(np.maximum(high, self.value))


@dataclass(frozen=True)
class Gap:
    """A difference and its interval."""

    value: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """The interval excludes zero."""
        return self.low > 0 or self.high < 0

    @property
    def sureness(self) -> float:
        """How far the interval is from zero; negative where it includes zero."""
        return max(self.low, -self.high)


def gaps(pairs: Mapping[K, tuple[Score, Score]], level: float) -> dict[K, Gap]:
    """First minus second of each pair; the intervals hold for all pairs at once."""
    probability = joint_probability(differences(list(pairs.values())), level)
    return {name: gap(a, b, 2 * probability - 1) for name, (a, b) in pairs.items()}


def differences(pairs: list[tuple[Score, Score]]) -> Iterator[np.ndarray]:
    """Blocks of at most CHUNK rows of R draws."""
    for start in range(0, len(pairs), CHUNK):
        yield np.array([a.drawn - b.drawn for a, b in pairs[start : start + CHUNK]])


def gap(a: Score, b: Score, level: float) -> Gap:
    """`level`: coverage of this interval alone."""
    difference, rho = a.value - b.value, correlation(a.drawn, b.drawn)
    (a_low, a_high), (b_low, b_high) = a.interval(level), b.interval(level)
    below = distance(a.value - a_low, b_high - b.value, rho)
    above = distance(a_high - a.value, b.value - b_low, rho)
    return Gap(difference, difference - below, difference + above)


def distance(own: float, other: float, rho: float) -> float:
    return float(max(own**2 + other**2 - 2 * rho * own * other, 0.0) ** 0.5)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Over the draws where both are defined; 0 where one does not vary."""
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 2 or not (np.ptp(a[both]) > 0 and np.ptp(b[both]) > 0):
        return 0.0
    return float(np.corrcoef(a[both], b[both])[0, 1])
