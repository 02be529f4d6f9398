"""The metric that decides, on every bootstrap draw that evaluate left: means over repeats, and differences between
models with intervals that hold for all of them at once.

Draw i takes the same clusters (patients joined by duplicates) for every model, so what is hard about a draw is hard for
all of them and cancels in a difference.

Two kinds of chance make an interval wide: which patients were tested, whose variance is that over the draws, and which
seed a model was trained with, whose variance is s²/S over S repeats. They add up, each with its own t quantile
(Cochran & Cox). One training run says nothing about seeds: its interval is about this trained model.

Where no draw of a difference differs (two models that are right about every image), the patients show no variance, but
others might: as for a rate of 0, each cluster counts once, and the interval goes to the end of a score interval.

Where several differences are shown, chance alone would make some of them large. The intervals are simultaneous
(shared/measures/intervals.py: joint_probability).

Shapes: M models, R draws, C contrasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...shared.core.errors import UserError
from ...shared.measures.intervals import (
    bootstrap_variance,
    cochran,
    joint_probability,
    score_interval,
    support,
    t_quantile,
)
from ...shared.measures.measure import Measure, TaskMeasures
from ...shared.measures.statistics import once
from ..read import Floor, Member

SHARED = ("bootstrap", "seed", "confidence")  # settings of evaluate that all models have to share
Interval = tuple[float, float, float]  # estimate, low, high


@dataclass(frozen=True)
class Contrast:
    """Mean over models `a` minus mean over models `b`. Paired: a[i] and b[i] were trained with the same seed."""

    a: Sequence[int]
    b: Sequence[int]
    paired: bool = True


@dataclass(frozen=True)
class Draws:
    """One metric of every model, on the test split (M,) and on each draw of its clusters (M, R)."""

    point: np.ndarray
    replicates: np.ndarray
    clusters: int  # of the test split
    level: float  # coverage of the intervals
    measure: Measure
    support: float = np.nan  # clusters with images that the metric is a rate of; NaN: it is no rate

    def of(self, models: Sequence[int]) -> Draws:
        """The same of these models, in this order."""
        return replace(self, point=self.point[list(models)], replicates=self.replicates[list(models)])

    def mean(self, at: Sequence[int], single: Sequence[tuple[float, float]]) -> Interval:
        """Over models that are repeats. `single`: the interval of each, which is the answer where there is but one or
        all have the same value on every draw."""
        own, values, spread = self.replicates[list(at)].mean(axis=0), self.point[list(at)], self.measure.spread
        value = float(values.mean())
        if np.isnan(value):
            return value, np.nan, np.nan
        variance, quantile = cochran(self._terms(own, [values]), (1 + self.level) / 2)
        if len(at) > 1 and variance > 0 and spread and spread(value) > 0:
            return value, *score_interval(value, spread(value) / variance, quantile, spread)
        if len(at) > 1 and variance > 0:
            return value, value - quantile * variance**0.5, value + quantile * variance**0.5
        return value, min(low for low, _ in single), max(high for _, high in single)

    def differences(self, contrasts: Sequence[Contrast]) -> list[Interval]:
        """Simultaneous over all of them."""
        drawn = [self.replicates[list(c.a)].mean(axis=0) - self.replicates[list(c.b)].mean(axis=0) for c in contrasts]
        probability = joint_probability([np.array(drawn)], self.level) if drawn else self.level
        return [self._difference(c, own, probability) for c, own in zip(contrasts, drawn, strict=True)]

    def differences_to(self, best: int) -> list[Interval]:
        """Every model minus model `best`; simultaneous over all pairs, since `best` was picked by its value."""
        drawn = self.replicates - self.replicates[best]
        return [
            self._difference(Contrast([i], [best]), own, self._of_all_pairs) if i != best else (float(own[0]),) * 3
            for i, own in enumerate(drawn)
        ]

    @cached_property
    def _of_all_pairs(self) -> float:
        """`joint_probability` of all pairs of models."""
        pairs = (self.replicates[i + 1 :] - self.replicates[i] for i in range(len(self.point) - 1))
        return joint_probability(pairs, self.level) if len(self.point) > 1 else self.level

    def verdict(self, low: float, high: float) -> str:
        """Of a difference: better or worse where its interval excludes zero; else, and where it is unknown, not
        shown to differ."""
        if low > 0 or high < 0:
            return "better" if (low > 0) == self.measure.higher_is_better else "worse"
        return "not shown to differ"

    def _difference(self, contrast: Contrast, drawn: np.ndarray, probability: float) -> Interval:
        a, b = self.point[list(contrast.a)], self.point[list(contrast.b)]
        terms = self._terms(drawn, [a - b] if contrast.paired else [a, b])
        if terms[0][0] == 0:
            terms[0] = self._unseen(probability), terms[0][1]
        variance, quantile = cochran(terms, probability)
        difference, half = float(a.mean() - b.mean()), quantile * variance**0.5
        return difference, difference - half, difference + half

    def _terms(self, drawn: np.ndarray, repeats: Sequence[np.ndarray]) -> list[tuple[float, float]]:
        """(variance, degrees of freedom) of the patients, from R draws, and of each group of repeats."""
        defined = drawn[np.isfinite(drawn)]
        patients = bootstrap_variance(defined, self.clusters) if len(defined) > 1 else np.nan
        seeds = [(float(v.var(ddof=1)) / len(v), float(len(v) - 1)) for v in repeats if len(v) > 1]
        return [(patients, float(self.clusters - 1)), *seeds]

    def _unseen(self, probability: float) -> float:
        """Variance of a difference that no draw shows: its interval is as wide as that of a rate of 0. NaN: no rate."""
        spread = self.measure.spread
        if spread is None or not self.support > 0:
            return np.nan
        quantile = t_quantile(probability, self.clusters - 1)
        return float((score_interval(0.0, self.support, quantile, spread)[1] / quantile) ** 2)


def draws_of(members: Sequence[Member | Floor], metric: str, task: TaskMeasures) -> Draws:
    """The draws of one metric.

    Raises:
        UserError: models were tested on different images, their draws were made differently, or files contradict each
            other.
    """
    first = members[0]
    for m in members:
        _same_test(first, m)
        _whole(m, task)
    return Draws(
        point=np.array([m.value("test", metric) for m in members]),
        replicates=np.stack([m.draws[metric].to_numpy(float) for m in members]),
        clusters=int(first.test["group"].nunique()),
        level=first.metrics["confidence"],
        measure=task.metrics[metric],
        support=_support(members, metric, task),
    )


def _support(members: Sequence[Member | Floor], metric: str, task: TaskMeasures) -> float:
    """Clusters that the metric rests on, for the model with the fewest: a PPV is a rate of what a model calls ill. NaN:
    the metric is no rate."""
    groups = members[0].test["group"].to_numpy()
    rated = [parts for m in members if (parts := task.rated(m.test).get(metric))]
    clusters = [support(parts, groups).clusters for parts in rated]
    return min((n for n in clusters if n > 0), default=np.nan)


def _same_test(first: Member | Floor, other: Member | Floor) -> None:
    """The same images in the same clusters, drawn in the same way: then draw i is the same for both."""
    if not other.test[["path", "group"]].equals(first.test[["path", "group"]]):
        raise UserError(
            f"compare: {first.key} and {other.key} were tested on different images, so they cannot be compared. "
            "Run `dvc repro`; samples may differ in their training images, never in the test split."
        )
    for name in SHARED:
        own, others = first.metrics.get(name), other.metrics.get(name)
        if own != others:
            raise UserError(
                f"compare: {first.key} was evaluated with {name} {own}, {other.key} with {others}, so their bootstrap "
                f"draws cannot be paired. Run `dvc repro`, or {first.remedy} and {other.remedy}."
            )


def _whole(m: Member | Floor, task: TaskMeasures) -> None:
    """Predictions, metrics and draws of one model belong together; one of them is stale if they do not."""
    if reason := _stale(m, task):  # the remedy reads params.yaml, so only where it is needed
        raise UserError(f"reports/{m.made_by} of {m.key}{reason} Make them again with {m.remedy}.")


def _stale(m: Member | Floor, task: TaskMeasures) -> str:
    """What contradicts what, to follow the name of the folder; empty where nothing does."""
    if absent := [name for name in task.metrics if name not in m.draws]:
        return f"/draws.parquet: no draws of {', '.join(absent)}."
    if len(m.draws) != m.metrics.get("bootstrap"):
        return f": draws.parquet has {len(m.draws):,} draws, metrics.json says {m.metrics.get('bootstrap')}."
    for name, values in task.compute(m.test, once(len(m.test))).items():
        stated, computed = m.value("test", name), float(values[0])
        if np.isfinite(stated) and np.isfinite(computed) and abs(stated - computed) > 1e-6:
            return (
                f": metrics.json has {name} {stated:.6f}, but predictions.parquet gives {computed:.6f}: one of them is "
                "stale."
            )
    return ""
