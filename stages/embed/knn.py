"""Neighbours that vote: a classifier without training, on what the backbone knows.

Shapes: Q queries, k neighbours, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..shared.core.task import OF_ANSWERS, PROBABILITY
from ..shared.measures.measure import TaskMeasures
from ..shared.measures.statistics import once
from .neighbours import Neighbours

SAME = 1e-6  # of a cosine distance: what float32 cannot tell from zero


@dataclass(frozen=True)
class Choice:
    """k neighbours vote. metric: it was chosen by; validation: the metric's value of each k, None: not defined."""

    k: int
    metric: str
    validation: dict[int, float | None]


def votes(neighbours: Neighbours, labels: np.ndarray, classes: int) -> np.ndarray:
    """Class probabilities Q×K: each neighbour votes for its class with the weight 1 / cosine distance, as
    scikit-learn's KNeighborsClassifier does with weights="distance". labels: class numbers of the candidates."""
    weights = 1 / np.maximum(1.0 - neighbours.cosines.astype(np.float64), SAME)  # of no further neighbour: 0
    hot = np.eye(classes)[labels[neighbours.rows]]  # Q×k×K
    sums = np.einsum("qk,qkc->qc", weights, hot)
    return np.asarray(sums / sums.sum(axis=1, keepdims=True))


def answered(table: pd.DataFrame, probabilities: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """A model's prediction table with these answers in place of all its own."""
    predicted = pd.Categorical.from_codes(probabilities.argmax(axis=1), categories=list(classes))
    columns = {f"{PROBABILITY}{name}": probabilities[:, i] for i, name in enumerate(classes)}
    others = [name for name in table if not str(name).startswith(OF_ANSWERS)]
    return table[others].assign(predicted=predicted, **columns)


def choose(
    table: pd.DataFrame, neighbours: Neighbours, labels: np.ndarray, classes: Sequence[str], options: Sequence[int],
    task: TaskMeasures,
) -> Choice:  # fmt: skip
    """The number of neighbours with the best validation value of the task's first metric, the larger one of equals.

    table: Q rows of a prediction table; neighbours: of each of them, as many as the largest option asks for.
    """
    metric, measure = next(iter(task.metrics.items()))
    validation = (table["split"] == "val").to_numpy()
    rows, values = table[validation], {}
    for k in sorted({min(k, neighbours.rows.shape[1]) for k in options}):
        own = Neighbours(neighbours.rows[validation, :k], neighbours.cosines[validation, :k])
        predictions = answered(rows, votes(own, labels, len(classes)), classes)
        values[k] = float(task.compute(predictions, once(len(rows)))[metric][0])
    sign = 1 if measure.higher_is_better else -1
    best = max(values, key=lambda k: (sign * values[k] if np.isfinite(values[k]) else -np.inf, k))
    return Choice(best, metric, {k: value if np.isfinite(value) else None for k, value in values.items()})
