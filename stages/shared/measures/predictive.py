"""PPV and NPV where the disease is more or less common than among the images: from sensitivity and specificity."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, sqrt

Estimate = Mapping[str, float | None]
"""value, low, high; None: not defined."""
ENDS = ("value", "low", "high")


def ppv(sensitivity: Estimate, specificity: Estimate, prevalence: float) -> dict[str, float | None]:
    """1 / (1 + odds against the disease / likelihood ratio), by Bayes' rule. Not defined where nothing is called
    positive, or a rate is not."""
    ratios = likelihood_ratio(sensitivity, specificity)
    if not 0 < prevalence < 1:
        return dict.fromkeys(ratios)
    against = (1 - prevalence) / prevalence
    return {end: None if own is None else own / (own + against) if own < inf else 1.0 for end, own in ratios.items()}


def npv(sensitivity: Estimate, specificity: Estimate, prevalence: float) -> dict[str, float | None]:
    """The PPV of the answer that an image is healthy."""
    return ppv(specificity, sensitivity, 1 - prevalence)


def likelihood_ratio(sensitivity: Estimate, specificity: Estimate) -> dict[str, float | None]:
    """sensitivity / (1 − specificity), with the interval that the intervals of the two give: MOVER-R (Donner & Zou
    2012; Newcombe 2016, "MOVER-R confidence intervals for ratios and products of two independently estimated
    quantities"). It has a finite low end where the specificity is 1 as well. inf: no bound."""
    first, first_low, first_high = (sensitivity[end] for end in ENDS)
    second, second_high, second_low = (None if (own := specificity[end]) is None else 1 - own for end in ENDS)
    if first is None or second is None or first == second == 0:
        return dict.fromkeys(ENDS)
    value = first / second if second > 0 else inf
    if first_low is None or first_high is None or second_low is None or second_high is None:
        return {"value": value, "low": None, "high": None}
    return {
        "value": value,
        "low": min(value, low_end(first, second, first_low, second_high)),
        "high": max(value, high_end(first, second, first_high, second_low)),
    }


def low_end(first: float, second: float, low: float, high: float) -> float:
    """Of first / second; `low` is an end of the first, `high` of the second."""
    root = sqrt(max((first * second) ** 2 - low * (2 * first - low) * high * (2 * second - high), 0.0))
    return low * (2 * first - low) / (first * second + root) if low > 0 else 0.0


def high_end(first: float, second: float, high: float, low: float) -> float:
    """Of first / second; `high` is an end of the first, `low` of the second."""
    if low <= 0:
        return inf
    divisor = low * (2 * second - low)
    root = sqrt(max((first * second) ** 2 - high * (2 * first - high) * divisor, 0.0))
    return (first * second + root) / divisor
