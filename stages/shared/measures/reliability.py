"""How far probabilities are from what happens: calibration errors, and the line through log-odds and outcomes.

Shapes: N images, R draws, B bins. `score`: N probabilities; `outcome`: N booleans, what they are the probability of.
`weights`: R×N.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .statistics import ratio

BINS = 15
SIMULATIONS = 500
SMALLEST = float(np.finfo(np.float64).eps)


def scored(probabilities: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(score, outcome) of N×K probabilities: of two classes the probability of the last one, and whether it is the
    truth; of more that of the most probable one, and whether it is."""
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], truth == 1
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == truth


def equal_width(score: np.ndarray) -> np.ndarray:
    """N numbers of bins: BINS of the same width between 0 and 1."""
    return np.minimum((score * BINS).astype(np.int64), BINS - 1)


def equal_size(score: np.ndarray) -> np.ndarray:
    """N numbers of bins: at most BINS with about as many images each (Nguyen & O'Connor 2015). Equal scores share
    one."""
    levels = np.unique(np.quantile(score, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(levels, score, side="right")


def gaps(score: np.ndarray, outcome: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """N×B: score minus outcome of each image, in the column of its bin."""
    inside = bins[:, None] == np.unique(bins)
    return np.asarray(inside * (score - outcome)[:, None])


def calibration_error(sums: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Mean distance between the mean score and the share of outcomes of each bin, weighted by images (Naeini et al.
    2015); R values. `sums`: R×B of `gaps`. `total`: R sums of weights. Never negative, so it is above 0 for a perfect
    model too: see `expected_error`."""
    return ratio(np.abs(sums).sum(axis=1), total)


def ece(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Expected calibration error of N×K probabilities, BINS bins of equal width; R values."""
    score, outcome = scored(probabilities, truth)
    sums = weights.astype(np.float64) @ gaps(score, outcome, equal_width(score))
    return calibration_error(sums, weights.sum(axis=1))


def brier(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """N squared errors: of two classes of the last one, between 0 and 1; of more the sum over classes (Brier 1950)."""
    errors = (probabilities - np.eye(probabilities.shape[1])[truth]) ** 2
    return np.asarray(errors[:, 1] if probabilities.shape[1] == 2 else errors.sum(axis=1))


def log_loss(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """N: of the probability of the true class."""
    return surprise(probabilities[np.arange(len(truth)), truth])


def surprise(probability: np.ndarray) -> np.ndarray:
    """−log of the probability of what is true; of 0 and 1 as of the numbers of 64 bits beside them."""
    return np.asarray(-np.log(np.clip(probability, SMALLEST, 1 - SMALLEST)))


def expected_error(score: np.ndarray, seed: int) -> float:
    """The calibration error that chance alone gives this many images if every score is right (consistency resampling,
    Bröcker & Smith 2007). Images count as independent."""
    rng, bins = np.random.default_rng(seed), equal_width(score)
    inside = (bins[:, None] == np.arange(BINS)).astype(np.float64)
    sums = (score - (rng.random((SIMULATIONS, len(score))) < score)) @ inside
    return float(np.abs(sums).sum(axis=1).mean() / len(score))


@dataclass(frozen=True)
class Line:
    """Logistic regressions of the outcome on the log-odds (Cox 1958; Van Calster et al. 2019). A perfect model has
    slope 1 and intercept 0; a slope below 1 says that it is too sure. `intercept` is that with the slope held at 1;
    `own` is the one that goes with `slope`. NaN where they are not defined: one outcome only, or log-odds that tell
    both apart."""

    slope: float
    own: float
    intercept: float

    def columns(self, log_odds: np.ndarray, outcome: np.ndarray) -> np.ndarray:
        """N×7; their sums over the images of a draw are what `drawn` needs."""
        p, alone = sigmoid(self.own + self.slope * log_odds), sigmoid(self.intercept + log_odds)
        rest, spread = outcome - p, p * (1 - p)
        powers = [spread, spread * log_odds, spread * log_odds**2]
        return np.stack([rest, rest * log_odds, *powers, outcome - alone, alone * (1 - alone)], axis=1)

    def drawn(self, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(slope, intercept), R values each, from the sums R×7 of `columns`: one Newton step from those of all images
        (Davidson & MacKinnon 1999). A whole fit for each draw would take longer than all else together."""
        rest, tilt, zero, one, two, beside, spread = sums.T
        slope = self.slope + ratio(zero * tilt - one * rest, zero * two - one**2)
        return slope, self.intercept + ratio(beside, spread)


def line(log_odds: np.ndarray, outcome: np.ndarray) -> Line:
    """`log_odds`: N."""
    from scipy.optimize import brentq, minimize

    inside, outside = log_odds[outcome], log_odds[~outcome]
    if not len(inside) or not len(outside):
        return Line(np.nan, np.nan, np.nan)
    reach = float(np.abs(log_odds).max()) + 50
    intercept = float(brentq(lambda a: float((outcome - sigmoid(a + log_odds)).sum()), -reach, reach))
    if inside.min() >= outside.max() or inside.max() <= outside.min():
        return Line(np.nan, np.nan, intercept)
    centre, width = log_odds.mean(), log_odds.std()
    x = (log_odds - centre) / width

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        z = line[0] + line[1] * x
        rest = sigmoid(z) - outcome
        return float((np.logaddexp(0, z) - outcome * z).mean()), np.array([rest.mean(), (rest * x).mean()])

    at, steepness = minimize(loss, np.array([0.0, width]), jac=True, options={"gtol": 1e-9}).x
    slope = float(steepness / width)
    return Line(slope, float(at) - slope * float(centre), intercept)


def sigmoid(x: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return np.asarray(expit(x))
