"""Is a new model at least as good as an old one on the same images, but for a margin?

A difference is new minus old of something that is better when it is larger. Its two bounds are one-sided: each is
passed by chance with probability alpha. The new model is non-inferior where the lower bound is above minus the margin,
and inferior where the upper bound is below it. Between the two the images are too few to decide.

Shapes: N images.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, sqrt
from typing import Literal

import numpy as np

from .gaps import Gap, Score, gap
from .intervals import t_quantile
from .measure import Measure

Answer = Literal["pass", "fail", "undecided"]
STEPS = 60  # of a bisection


@dataclass(frozen=True)
class Difference:
    """`variance`: of `value`; where no image shows any, as large as these few cannot rule out."""

    value: float
    low: float
    high: float
    variance: float

    def answer(self, margin: float) -> Answer:
        """pass: non-inferior. A margin of 0 asks for a better model."""
        if self.low > -margin:
            return "pass"
        return "fail" if self.high < -margin else "undecided"

    def growth_needed(self, margin: float, alpha: float, power: float) -> float:
        """How many times as many patients let two equally good models pass with probability `power`: the usual formula
        for a normal estimate. Where there are as many already, the difference seen is planned with instead of none.
        Infinite where more patients would not help; NaN where the variance is not known."""
        for expected in (0.0, min(self.value, 0.0)):
            room = margin + expected
            spans = normal_quantile(1 - alpha) + normal_quantile(power)
            growth = self.variance * (spans / room) ** 2 if room > 0 else inf
            if not growth <= 1:
                break
        return growth


def of_scores(new: Score, old: Score, alpha: float) -> Difference:
    """Of two metrics on the same paired draws of the patients. The bounds are made from the score intervals of both and
    the correlation of their draws (gaps.py): near an AUROC of 1 a worse model passes the plain interval of the draws
    too often, because its error is estimated as too small just where its value is too high."""
    return turned(gap(new, old, 1 - 2 * alpha), new.measure, alpha)


def turned(own: Gap, measure: Measure, alpha: float) -> Difference:
    """A gap, turned round where lower is better. `alpha`: of each of its ends."""
    variance = (max(own.high - own.low, 0.0) / (2 * normal_quantile(1 - alpha))) ** 2
    if measure.higher_is_better:
        return Difference(own.value, own.low, own.high, variance)
    return Difference(-own.value, -own.high, -own.low, variance)


def of_rates(new: np.ndarray, old: np.ndarray, clusters: np.ndarray, alpha: float) -> Difference:
    """Of two rates of the same images, such as sensitivities of the positives. `new`, `old`: N booleans, the model is
    right about the image. `clusters`: of N images.

    Tango's score interval, on as many independent images as these are worth: images of one patient are alike. The ratio
    of the two variances, by patient and by image, is the design effect (Rao & Scott 1992), at least 1; where the models
    never disagree it is Kish's (1965).
    """
    n = len(new)
    if n == 0:
        return Difference(np.nan, np.nan, np.nan, np.nan)
    signs = new.astype(float) - old.astype(float)
    of_image = np.unique(clusters, return_inverse=True)[1]
    sizes, sums = np.bincount(of_image), np.bincount(of_image, signs)
    value, count = float(signs.mean()), len(sizes)
    by_image = float((signs**2).sum() - n * value**2) / n**2
    by_patient = float(((sums - value * sizes) ** 2).sum()) / n**2 * count / max(count - 1, 1)
    kish = n * float((sizes**2).sum()) / n**2
    effect = max(by_patient / by_image, 1.0) if by_image > 0 else kish
    quantile = t_quantile(1 - alpha, max(count - 1, 1))
    only_new, only_old = (float((signs == sign).sum()) / effect for sign in (1, -1))
    low, high = tango(only_new, only_old, n / effect, quantile)
    variance = by_image * effect if by_image > 0 else ((value - low) / quantile) ** 2
    return Difference(value, low, high, variance)


def tango(only_new: float, only_old: float, n: float, quantile: float) -> tuple[float, float]:
    """Bounds of the difference of two paired proportions (Tango 1998): all differences whose score statistic is within
    the quantile. It has width also where no pair is discordant. `only_new`, `only_old`: pairs in which only this one
    is a success, of n."""
    value = (only_new - only_old) / n

    def inside(delta: float) -> bool:
        a = 2 * n
        b = -only_new - only_old + (2 * n - only_new + only_old) * delta
        c = -only_old * delta * (1 - delta)
        share = (sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # of pairs with the old one alone, if delta is true
        variance = n * max(2 * share + delta * (1 - delta), 0.0)
        return (only_new - only_old - n * delta) ** 2 <= quantile**2 * variance

    def end(outside: float) -> float:
        near = value
        for _ in range(STEPS):
            middle = (near + outside) / 2
            near, outside = (middle, outside) if inside(middle) else (near, middle)
        return near

    return end(-1.0), end(1.0)


def more(growth: float, there: int) -> int | None:
    """Patients to collect beside those that there are; None: no number of them is known to decide."""
    return max(ceil(there * (growth - 1)), 1) if np.isfinite(growth) else None


def normal_quantile(probability: float) -> float:
    from scipy.special import ndtri  # late, as in intervals.py

    return float(ndtri(probability))
