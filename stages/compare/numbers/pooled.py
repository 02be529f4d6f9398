"""Folds of one training, pooled: each training image predicted once, by the model that did not train on it.

Validation also stopped these trainings, so the pooled score is a little too good; the test part had no say in either.
Scores of several models stand in one list, and models whose scores are not on one scale have a lower area together than
each alone (Forman & Scholz 2010): the mean over the folds stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ...shared.measures.judge import Resampling, estimates, metric_of
from ...shared.measures.measure import TaskMeasures
from ..read import Member

COLUMNS = [
    "backbone", "strategy", "samples", "seed", "folds", "folds_in_all", "images", "images_in_all", "patients",
    "value", "value_low", "value_high", "fold_mean", "fold_sd", "fold_lowest", "fold_highest", "test_mean",
]  # fmt: skip


def pooled(members: Sequence[Member], index: pd.DataFrame, task: TaskMeasures, metric: str) -> pd.DataFrame:
    """One row for each training that the matrix has with two or more folds: the metric on
    all validation images together with an interval by cluster, and its values on the single folds. `images_in_all`: the
    images that some fold validates."""
    outside = index[index["fold"] >= 0]
    rows = []
    for folds in groups(members):
        table = pd.concat([m.validation for m in folds], ignore_index=True)
        first, numbers = folds[0], folds[0].metrics
        how = Resampling(numbers["bootstrap"], numbers["confidence"], numbers["seed"])

        def compute(weights: np.ndarray, table: pd.DataFrame = table) -> dict[str, np.ndarray]:
            return {metric: task.compute(table, weights)[metric]}

        own, _ = estimates(
            compute, table["group"].to_numpy(), how, task.rated(table), lambda name: metric_of(name, task)
        )
        single = np.array([m.value("val", metric) for m in folds])
        estimate = {end: np.nan if own[metric][end] is None else own[metric][end] for end in ("value", "low", "high")}
        values = (
            first.key.backbone, first.key.strategy, " ".join(m.key.sample for m in folds),
            first.summary["sample"]["seed"], len(folds), outside["fold"].nunique(), len(table), len(outside),
            table["patient"].nunique(), estimate["value"], estimate["low"], estimate["high"], single.mean(),
            single.std(ddof=1), single.min(), single.max(), float(np.mean([m.value("test", metric) for m in folds])),
        )  # fmt: skip
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return pd.DataFrame(rows, columns=COLUMNS)


def groups(members: Sequence[Member]) -> Iterator[list[Member]]:
    """Models that differ in nothing but the fold of their sample, two or more of them; of two samples with the same
    fold the first."""
    alike: dict[tuple[object, ...], dict[int, Member]] = {}
    for m in members:
        sample = m.summary.get("sample")
        if m.kind == "model" and sample:
            rest = tuple(sorted((name, str(value)) for name, value in sample.items() if name != "fold"))
            alike.setdefault((m.key.backbone, m.key.strategy, rest), {}).setdefault(sample["fold"], m)
    return ([folds[fold] for fold in sorted(folds)] for folds in alike.values() if len(folds) > 1)
