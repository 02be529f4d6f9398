"""The metric that decides, on every bootstrap draw that evaluate left: differences between models, with paired
intervals.

Shapes: M models, R draws. Draw i takes the same patients for every model, so what is hard about a draw is hard for all
of them and cancels in the difference (DeLong et al. 1988 pair for that reason; drawing patients, not images, respects
that images of one patient are alike).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...shared.core.errors import UserError
from ...shared.measures.measure import TaskMeasures
from ...shared.measures.statistics import interval, once
from ..read import Member

SHARED = ("bootstrap", "seed", "confidence")  # settings of evaluate that all models have to share


@dataclass(frozen=True)
class Draws:
    """One metric of every model, on the test split (M,) and on each draw of its patients (M, R)."""

    point: np.ndarray
    replicates: np.ndarray
    level: float  # coverage of the intervals
    seed: int = 0  # of the draws of repeats
    higher_is_better: bool = True

    def difference(self, a: int, b: int) -> tuple[float, float, float]:
        """Model a minus model b: estimate, low, high."""
        return self.difference_of_means([a], [b])

    def mean(self, at: Sequence[int], stream: int = 0) -> tuple[float, np.ndarray]:
        """Over models that are repeats: estimate, and R draws of patients and seeds together."""
        weights = seed_weights(len(at), self.replicates.shape[1], self.seed, stream)
        return float(self.point[list(at)].mean()), (weights * self.replicates[list(at)].T).sum(1)

    def mean_interval(self, at: Sequence[int]) -> tuple[float, float, float]:
        """Estimate, low, high of a mean over repeats."""
        point, replicates = self.mean(at)
        return point, *interval(replicates, self.level)

    def difference_of_means(
        self, a: Sequence[int], b: Sequence[int], paired: bool = True
    ) -> tuple[float, float, float]:
        """Mean over models a minus mean over models b. Paired: a[i] and b[i] have the same seed, drawn together."""
        (own, replicates), (other, replicates_of_other) = self.mean(a), self.mean(b, stream=0 if paired else 1)
        return own - other, *interval(replicates - replicates_of_other, self.level)

    def verdict(self, low: float, high: float) -> str:
        """Of a difference: better or worse where its interval excludes zero, else (and where unknown) undecided."""
        if low > 0 or high < 0:
            return "better" if (low > 0) == self.higher_is_better else "worse"
        return "undecided"


def seed_weights(seeds: int, replicates: int, seed: int, stream: int = 0) -> np.ndarray:
    """R × seeds weights, each row of sum 1: one draw fewer than there are seeds, with replacement.

    n - 1 draws of n give the mean the variance s²/n; n draws would give (n - 1)/n of it, a third too little for three
    seeds (Rao & Wu 1988, "Resampling inference with complex survey data"). Equal arguments give equal draws.
    """
    size = max(seeds - 1, 1)
    rng = np.random.default_rng([seed, seeds, stream])
    weights: np.ndarray = rng.multinomial(size, np.full(seeds, 1 / seeds), size=replicates) / size
    return weights


def draws_of(members: Sequence[Member], metric: str, task: TaskMeasures, seed: int) -> Draws:
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
        level=first.metrics["confidence"],
        seed=seed,
        higher_is_better=task.metrics[metric].higher_is_better,
    )


def _same_test(first: Member, other: Member) -> None:
    """The same images of the same patients, drawn in the same way: then draw i is the same for both."""
    if not other.test[["path", "patient"]].equals(first.test[["path", "patient"]]):
        raise UserError(
            f"compare: {first.key} and {other.key} were tested on different images, so they cannot be compared. "
            "Run `dvc repro`; samples may differ in their training images, never in the test split."
        )
    for name in SHARED:
        own, others = first.metrics.get(name), other.metrics.get(name)
        if own != others:
            raise UserError(
                f"compare: {first.key} was evaluated with {name} {own}, {other.key} with {others}, so their bootstrap "
                f"draws cannot be paired. Run `dvc repro`, or `dvc repro -f evaluate@{first.key} "
                f"evaluate@{other.key}`."
            )


def _whole(m: Member, task: TaskMeasures) -> None:
    """Predictions, metrics and draws of one model belong together; one of them is stale if they do not."""
    folder, remedy = f"reports/evaluate/{m.key}", f"Make them again with `dvc repro -f evaluate@{m.key}`."
    if absent := [name for name in task.metrics if name not in m.draws]:
        raise UserError(f"{folder}/draws.parquet: no draws of {', '.join(absent)}. {remedy}")
    if len(m.draws) != m.metrics.get("bootstrap"):
        raise UserError(
            f"{folder}: draws.parquet has {len(m.draws):,} draws, metrics.json says {m.metrics.get('bootstrap')}. "
            f"{remedy}"
        )
    for name, values in task.compute(m.test, once(len(m.test))).items():
        stated, computed = m.value("test", name), float(values[0])
        if np.isfinite(stated) and np.isfinite(computed) and abs(stated - computed) > 1e-6:
            raise UserError(
                f"{folder}: metrics.json has {name} {stated:.6f}, but predictions.parquet gives {computed:.6f}: one of "
                f"them is stale. {remedy}"
            )
