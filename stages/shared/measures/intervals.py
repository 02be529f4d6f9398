"""Bootstrap draws of clusters, and intervals from them.

A cluster is a patient, or several that share duplicates. A bootstrap by cluster is the same as giving each image the
weight of how often its cluster was drawn. Clusters, not images: images of one patient resemble each other, and counting
them as independent makes every interval too narrow.

Shapes: N images, R draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

CHUNK = 4_000_000  # weights in memory at once: 32 MB
ROUNDING = 1e-6  # of a score in draws.parquet, which has 32 bits


def draws(clusters: Sequence[Any] | np.ndarray, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Chunks of weights r×N: each row draws as many clusters as there are, with replacement. `clusters`: of N images.

    Equal clusters, replicates and seed give equal draws, whatever the order of the images.
    """
    names, of_image = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    step = max(1, CHUNK // max(len(of_image), 1))
    if replicates <= step:
        yield all_counts(len(names), replicates, seed)[:, of_image]
        return
    rng = np.random.default_rng(seed)
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        yield rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=size)[:, of_image]


@lru_cache(maxsize=1)
def all_counts(clusters: int, replicates: int, seed: int) -> np.ndarray:
    """How often each cluster is drawn, replicates × clusters. Kept: a dozen questions about one model ask for the same
    draws, and making them takes longer than most answers."""
    counts = np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), size=replicates)
    counts.flags.writeable = False
    return counts


def bootstrap_variance(values: np.ndarray, clusters: float) -> float:
    """Of a statistic, from its value on each draw: without the factor (n - 1)/n by which drawing n of n falls short.

    Zero where draws differ by rounding alone: 10,000 times 1/3 has a variance of 3e-33, and an interval from that would
    have no width."""
    if clusters <= 1:
        return np.nan
    return float(values.var(ddof=1)) * clusters / (clusters - 1) if np.ptp(values) > ROUNDING else 0.0


def percentile_interval(values: np.ndarray, level: float) -> tuple[float, float]:
    """(low, high); draws without a value are left out, and without any both ends are NaN."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def score_interval(value: float, n: float, quantile: float, spread: Callable[[float], float]) -> tuple[float, float]:
    """All p with |value - p| <= quantile · sqrt(spread(p) / n), for values between 0 and 1.

    With `binomial_spread` this is Wilson's interval (1927). It has width at 0 and 1 too, and stays between them. In a
    clustered sample `n` is the effective number of images (Dean & Pagano 2015, "Evaluating confidence interval methods
    for binomial proportions in clustered surveys").
    """

    def end(outside: float) -> float:
        inside = value
        for _ in range(60):
            middle = (inside + outside) / 2
            if (value - middle) ** 2 <= quantile**2 * spread(middle) / n:
                inside = middle
            else:
                outside = middle
        return inside

    return end(0.0), end(1.0)


def binomial_spread(p: float) -> float:
    """Variance of one image's outcome."""
    return p * (1 - p)


def area_spread(p: float) -> float:
    """Of an area under the ROC curve, per image when half of them are positive: Hanley & McNeil's variance (1982) for
    many images. Newcombe (2006, method 5) solves it as Wilson does."""
    return 2 * p * (1 - p) * ((1 - p) / (2 - p) + p / (1 + p))


@dataclass(frozen=True)
class Support:
    """What a mean of rates, or of scores between 0 and 1, rests on."""

    images: float  # if all were independent; infinite for scores, whose variance may be any below that of a rate
    clusters: float  # if all images of one cluster were the same
    df: float


def support(parts: Sequence[np.ndarray], clusters: np.ndarray) -> Support:
    """`parts`: for each rate, N booleans: the images it is a rate of. `clusters`: of N images.

    A mean of K rates over n_k images each has the variance of one over K² / Σ 1/n_k. Images of one cluster count as
    (Σ n_c)² / Σ n_c², with n_c images in cluster c (Kish 1965). A part may be empty: then there is no support.
    """
    counts = [np.unique(clusters[part], return_counts=True)[1] for part in parts]
    if not all(len(n) for n in counts):
        return Support(np.nan, np.nan, np.nan)
    images, effective = (
        len(parts) ** 2 / sum(1 / size for size in sizes)
        for sizes in ([n.sum() for n in counts], [n.sum() ** 2 / (n**2).sum() for n in counts])
    )
    distinct = len(np.unique(clusters))
    df = max(min(sum(len(n) - 1 for n in counts), distinct - 1), 1)
    return Support(min(images, len(clusters)), min(effective, distinct), df)


def rate_interval(
    value: float, values: np.ndarray, support: Support, spread: Callable[[float], float], level: float
) -> tuple[float, float]:
    """Score interval of a rate, an area or a mean of scores between 0 and 1, from its value and its R draws.

    The effective n is that which gives the variance of the draws. Where no draw differs (all right, all wrong) each
    cluster counts once. An n above that of independent images is mostly chance: half of the excess counts, on a log
    scale, which keeps the coverage near areas of 1 (benchmarks/claims.py).
    """
    defined = values[np.isfinite(values)]
    if not np.isfinite(value + support.clusters) or len(defined) < 2:
        return np.nan, np.nan
    variance, n = bootstrap_variance(defined, support.df + 1), support.clusters
    if variance > 0 and spread(value) > 0:
        n = spread(value) / variance
        n = n if n <= support.images else (n * support.images) ** 0.5
    return score_interval(value, n, t_quantile((1 + level) / 2, support.df), spread)


def cochran(terms: Sequence[tuple[float, float]], probability: float) -> tuple[float, float]:
    """Sum of variances, and the quantile of an estimate over the root of that sum: the mean of the t quantiles of the
    terms, weighted by their variances (Cochran & Cox 1957). `terms`: (variance, degrees of freedom) of each.

    Welch's degrees of freedom give shorter intervals that err in up to 12% of studies where two seeds vary most.
    """
    total = sum(variance for variance, _ in terms)
    if not total > 0:
        return total, 0.0
    return total, sum(variance * t_quantile(probability, df) for variance, df in terms) / total


def joint_probability(blocks: Iterable[np.ndarray], level: float) -> float:
    """Of the normal distribution below the critical value for all contrasts of the blocks C×R at once; a t distribution
    has its critical value there.

    Where several differences are shown, chance alone makes some of them large. The critical value is the quantile of
    the largest studentised deviation among all of them, over the draws (the single-step max-T of Westfall & Young
    1993). A contrast without a finite draw has no part in it.
    """
    largest: np.ndarray | None = None
    for block in blocks:
        block = block[np.isfinite(block).any(axis=1)]
        deviation = block - np.nanmean(block, axis=1, keepdims=True)
        error = np.sqrt(np.nanmean(deviation**2, axis=1, keepdims=True))
        scaled = np.divide(np.abs(deviation), error, out=np.zeros_like(deviation), where=error > 0)
        own = np.fmax.reduce(scaled, axis=0, initial=0.0)
        largest = own if largest is None else np.fmax(largest, own)
    pointwise = (1 + level) / 2
    if largest is None:
        return pointwise
    return max(normal_probability(float(np.quantile(largest, level))), pointwise)


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p values (Holm 1979); NaN is no test and stays."""
    adjusted = np.full(len(p), np.nan)
    tests = np.flatnonzero(np.isfinite(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    steps = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def t_quantile(probability: float, df: float) -> float:
    from scipy.special import stdtrit  # not above: every stage imports this module to check params.yaml

    return float(stdtrit(df, probability))


def normal_probability(quantile: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(quantile))
