"""What another threshold would give, and what became of images with a similar probability: counts of the validation and
of the test images, from the curves that an export carries."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from ...shared.exported.decision import Curve

NEAR = 0.1
"""Probabilities that differ by at most this are similar."""
ENOUGH = 10
"""Images that a share of them needs to say something."""


@dataclass(frozen=True)
class Count:
    """`hits` of `images`."""

    hits: int
    images: int

    @property
    def share(self) -> float:
        return self.hits / self.images if self.images else float("nan")


@dataclass(frozen=True)
class Rates:
    """Found positives of all, and negatives without an alarm of all."""

    sensitivity: Count
    specificity: Count


def at(curve: Curve, threshold: float) -> Rates:
    """An image is called where its probability is above the threshold, as in evaluate."""
    i = place(curve, threshold)
    sensitivity, specificity = (1.0, 0.0) if i < 0 else (curve.sensitivity[i], curve.specificity[i])
    return Rates(
        Count(round(sensitivity * curve.positives), curve.positives),
        Count(round(specificity * curve.negatives), curve.negatives),
    )


def place(curve: Curve, threshold: float) -> int:
    """Of the highest threshold of the curve that is not above this one; -1: none, and all images are called."""
    return bisect_right(curve.threshold, threshold + 1e-9) - 1


def near(curve: Curve, probability: float) -> Count | None:
    """Positives among the images with a similar probability; None where they are too few to say something."""
    below, above = at(curve, probability - NEAR), at(curve, probability + NEAR)
    positives = below.sensitivity.hits - above.sensitivity.hits
    negatives = above.specificity.hits - below.specificity.hits
    return Count(positives, positives + negatives) if positives + negatives >= ENOUGH else None


def bins(curve: Curve, count: int) -> tuple[list[int], list[int]]:
    """Positives and negatives in bins of equal width from 0 to 1."""
    edges = [at(curve, i / count) for i in range(1, count)]
    first = Rates(Count(curve.positives, curve.positives), Count(0, curve.negatives))
    last = Rates(Count(0, curve.positives), Count(curve.negatives, curve.negatives))
    cuts = [first, *edges, last]
    pairs = list(pairwise(cuts))
    return (
        [low.sensitivity.hits - high.sensitivity.hits for low, high in pairs],
        [high.specificity.hits - low.specificity.hits for low, high in pairs],
    )
