"""Trainings that differ in nothing but the seed, as one: a cell. What cells cost, and how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ...shared.measures.intervals import bootstrap_variance
from .draws import Contrast, Draws
from .repeats import CELL, paired

COSTS = ("seconds", "peak_memory_mb", "parameters", "flops", "latency_1_ms")


@dataclass(frozen=True)
class Cells:
    """`trainings`: one row per training, none of neighbours (repeats.py); `table`: one row per cell, the best mean
    first, with its mean costs. A cell is named by its place in `table`."""

    trainings: pd.DataFrame
    draws: Draws
    table: pd.DataFrame

    @cached_property
    def rows(self) -> list[pd.DataFrame]:
        """The trainings of each cell."""
        groups = dict(iter(self.trainings.groupby(CELL, sort=False)))
        return [groups[tuple(cell)] for cell in self.table[CELL].itertuples(index=False)]

    def contrast(self, a: int, b: int) -> Contrast:
        """The mean of cell a minus that of cell b, over the seeds that both have."""
        own, other, pairs = paired(self.rows[a], self.rows[b])
        return Contrast(own["at"].tolist(), other["at"].tolist(), pairs)

    def differences(self, pairs: Sequence[tuple[int, int]]) -> pd.DataFrame:
        """One row per pair (a, b): `difference` of a minus b, `low`, `high`, simultaneous over the pairs, `verdict`."""
        intervals = self.draws.differences([self.contrast(a, b) for a, b in pairs])
        table = pd.DataFrame(intervals, columns=["difference", "low", "high"])
        table = table.set_axis(pd.MultiIndex.from_tuples(pairs, names=["a", "b"]), axis=0) if pairs else table
        return table.assign(verdict=[self.draws.verdict(low, high) for _, low, high in intervals])

    def drawn(self, cell: int, seed: int) -> np.ndarray:
        """The mean of a cell on each bootstrap draw of the test patients, plus a deviation of its seeds from a t
        distribution with the spread that they have: what the mean might have been. One seed has no such deviation."""
        at = self.rows[cell]["at"].tolist()
        own, points, n = self.draws.replicates[at].mean(axis=0), self.draws.point[at], len(at)
        own = np.where(np.isfinite(own), own, points.mean())
        if n == 1:
            return np.asarray(own)
        deviation = np.random.default_rng([seed, cell]).standard_t(n - 1, len(own))
        return np.asarray(own + deviation * points.std(ddof=1) / n**0.5)

    def variance(self, cell: int) -> float:
        """Of the mean of a cell: that of the patients and that of the seeds."""
        at = self.rows[cell]["at"].tolist()
        own = self.draws.replicates[at].mean(axis=0)
        seeds = float(self.draws.point[at].var(ddof=1)) / len(at) if len(at) > 1 else 0.0
        return bootstrap_variance(own[np.isfinite(own)], self.draws.clusters) + seeds

    def seeds(self, a: int, b: int) -> int:
        """Trainings that a difference of two cells is over, on each side."""
        contrast = self.contrast(a, b)
        return min(len(contrast.a), len(contrast.b))


def cells(trainings: pd.DataFrame, means: pd.DataFrame, models: pd.DataFrame, draws: Draws) -> Cells:
    """From the rows that are of models of the matrix, of tables as in Study."""
    table = means.reset_index(drop=True)
    if models["backbone"].nunique() and "latency_1_ms" in models:  # a strategy changes no network
        latency = models.groupby("backbone")["latency_1_ms"].transform("median")
        models = models.assign(latency_1_ms=latency)
    of_model = models.set_index("key")
    for name in (name for name in COSTS if name in models):
        table[name] = [float(np.mean(of_model.loc[keys, name].astype(float))) for keys in _keys(table)]
    return Cells(trainings, draws, table)


def _keys(table: pd.DataFrame) -> list[list[str]]:
    return [[f"{row.backbone}-{row.strategy}-{name}" for name in row.samples.split()] for row in table.itertuples()]
