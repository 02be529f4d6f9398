"""Learning curves as inverse power laws: the score at n training images is α − β·n^−γ (Cortes et al. 1994; Figueroa et
al. 2012), fitted to the means of each strategy on each backbone.

For a given γ, α and β are a weighted linear regression, so γ alone is searched for (variable projection, Golub &
Pereyra 1973). The weights are one over the variance of a mean. α stays below the best value that the metric can have.

Intervals come from fits to draws: draw i takes the means on bootstrap draw i of the test patients, and for each size
a deviation of the seeds from a t distribution, as the intervals of means do. One seed has no deviation: such a curve is
about these trainings.

Shapes: K sizes, R draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ...shared.measures.intervals import percentile_interval
from ...shared.measures.measure import Measure
from .cells import Cells

SIZES = 3  # that a curve needs: it has three parameters
DRAWS = 1000  # fits behind an interval
GAMMAS = np.geomspace(0.02, 4.0, 120)
REACH = 10  # times the largest size: beyond, a curve is no evidence
NEVER = np.inf


@dataclass(frozen=True)
class Law:
    """α − β·n^−γ of scores that are better when higher, each an array of R fits. `sign`: −1 where lower is better."""

    alpha: np.ndarray
    beta: np.ndarray
    gamma: np.ndarray
    sign: int = 1

    def at(self, images: np.ndarray) -> np.ndarray:
        """R×K values at K sizes."""
        return np.asarray(self.sign * (self.alpha[:, None] - self.beta[:, None] * images ** -self.gamma[:, None]))

    def needed(self, values: np.ndarray) -> np.ndarray:
        """R numbers of images at which each fit reaches its value; inf: never, 0: with any."""
        lack = self.alpha - self.sign * values
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            images = np.where(self.beta > 0, (self.beta / lack) ** (1 / self.gamma), 0.0)
        return np.where(lack > 0, images, NEVER)


@dataclass(frozen=True)
class Curve:
    """Of one strategy on one backbone, trained at `site` (empty: all). `law`: one fit, to the means; `drawn`: the fits
    to R draws of them; `seeds`: of the size with the fewest."""

    backbone: str
    strategy: str
    site: str
    images: np.ndarray
    values: np.ndarray
    law: Law
    drawn: Law
    level: float
    seeds: int

    def at(self, images: float) -> tuple[float, float, float]:
        """The value at a size, with its interval."""
        at = np.array([images])
        value = float(self.law.at(at)[0, 0])
        low, high = percentile_interval(self.drawn.at(at)[:, 0], self.level)
        return value, min(low, value), max(high, value)

    def needed(self, value: float) -> tuple[float, float, float]:
        """Images for a value, with their interval, in the range of `within`."""
        return self.needed_on(value, np.full(len(self.drawn.alpha), value))

    def needed_on(self, value: float, drawn: np.ndarray) -> tuple[float, float, float]:
        """The same for a value that has draws itself, R."""
        estimate = float(self.within(self.law.needed(np.array([value])))[0])
        ends = [(1 - self.level) / 2, (1 + self.level) / 2]
        # not interpolated: there is no mean of a number and infinity
        low, high = np.quantile(self.within(self.drawn.needed(drawn)), ends, method="inverted_cdf")
        return estimate, min(float(low), estimate), max(float(high), estimate)

    def within(self, images: np.ndarray) -> np.ndarray:
        """inf: more than REACH times the largest size; 0: fewer than the smallest."""
        images = np.where(images > REACH * self.images[-1], NEVER, images)
        return np.where(images < self.images[0], 0.0, images)


def fit(images: np.ndarray, values: np.ndarray, weights: np.ndarray, limit: float) -> Law:
    """`images`: K sizes; `values`: R×K, better when higher; `weights`: K; `limit`: no α lies above it."""
    best = _fit(images, values, weights, limit, np.broadcast_to(GAMMAS, (len(values), len(GAMMAS))))
    step = np.log(GAMMAS[1] / GAMMAS[0])
    for _ in range(4):  # each round looks between the neighbours of the best so far, five times as closely
        near = best.gamma[:, None] * np.exp(np.linspace(-step, step, 11))
        best = _fit(images, values, weights, limit, near)
        step /= 5
    return best


def _fit(images: np.ndarray, values: np.ndarray, weights: np.ndarray, limit: float, gammas: np.ndarray) -> Law:
    """The best of the G candidates of each of R rows, `gammas` R×G."""
    share = weights / weights.sum()
    basis = images ** -gammas[..., None]  # R×G×K
    own = values[:, None, :]
    mean_basis, mean = basis @ share, own @ share
    centred = basis - mean_basis[..., None]
    slope = ((centred * (own - mean[..., None])) @ share) / ((centred**2) @ share)
    beta = np.maximum(-slope, 0.0)
    alpha = mean + beta * mean_basis
    capped = np.maximum((basis * (limit - own)) @ share / ((basis**2) @ share), 0.0)
    beta = np.where(alpha > limit, capped, beta)
    alpha = np.minimum(alpha, limit)
    error = ((own - alpha[..., None] + beta[..., None] * basis) ** 2) @ share
    pick = np.argmin(error, axis=1)[:, None]
    alpha, beta, gamma = (np.take_along_axis(part, pick, axis=1)[:, 0] for part in (alpha, beta, gammas))
    return Law(alpha, beta, gamma)


def limit_of(measure: Measure) -> float:
    """The best value there is, of scores that are better when higher; infinite for a unit without bound."""
    return 0.0 if not measure.higher_is_better else 1.0 if not measure.unit else np.inf


def curves(cells: Cells, seed: int) -> list[Curve]:
    """Of each strategy, backbone and site with at least SIZES sizes of training set. `seed`: of the deviations of
    seeds."""
    table = cells.table.dropna(subset="value")
    every = []
    for (backbone, strategy, site), rows in table.groupby(["backbone", "strategy", "site"], sort=False):
        rows = rows.sort_values("train_images", kind="stable").drop_duplicates("train_images")
        if len(rows) >= SIZES:
            every.append(_curve(cells, rows, (str(backbone), str(strategy), str(site)), seed))
    return every


def _curve(cells: Cells, rows: pd.DataFrame, names: tuple[str, str, str], seed: int) -> Curve:
    sign = 1 if cells.draws.measure.higher_is_better else -1
    drawn = np.stack([cells.drawn(cell, seed)[:DRAWS] for cell in rows.index], 1)
    variances = np.array([cells.variance(cell) for cell in rows.index])
    largest = variances.max()  # no size decides alone
    weights = 1 / np.maximum(variances, largest / 100) if largest > 0 else np.ones(len(variances))
    values, images = rows["value"].to_numpy(float), rows["train_images"].to_numpy(float)
    limit = limit_of(cells.draws.measure)
    law, laws = (fit(images, sign * own, weights, limit) for own in (values[None], drawn))
    law, laws = replace(law, sign=sign), replace(laws, sign=sign)
    return Curve(*names, images, values, law, laws, cells.draws.level, int(rows["seeds"].min()))


def table(every: Sequence[Curve], value: float) -> pd.DataFrame:
    """One row per curve: its parameters, the images that `value` needs (inf: more than `reach`; 0: fewer than its
    smallest size), and what twice its largest size would bring, `ahead`, with intervals."""
    rows = []
    for curve in every:
        largest = float(curve.images[-1])
        row = {
            "backbone": curve.backbone, "strategy": curve.strategy, "site": curve.site, "sizes": len(curve.images),
            "seeds": curve.seeds, "largest": largest, "reach": REACH * largest,
            "alpha": float(curve.law.sign * curve.law.alpha[0]), "beta": float(curve.law.sign * curve.law.beta[0]),
            "gamma": float(curve.law.gamma[0]), "target": value,
        }  # fmt: skip
        for name, ends in (("needed", curve.needed(value)), ("ahead", curve.at(2 * largest))):
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def target(cells: Cells, baseline: str, asked: float | None) -> float:
    """The value to ask images for: `asked`, or the best mean that the baseline reaches at its largest size; without a
    baseline, the best mean."""
    if asked is not None:
        return asked
    table = cells.table.dropna(subset="value")
    base = table[table["strategy"] == baseline]
    if len(base):
        table = base[base["train_images"] == base["train_images"].max()]
    return float(table["value"].iloc[0]) if len(table) else np.nan
