"""What a metric is called and which way is better, and what a task brings to be judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Measure:
    """One metric. `short`: its name where there is little room."""

    label: str
    short: str
    higher_is_better: bool = True
    headline: bool = False
    """Shown where only a few metrics are."""
    chance: float | None = None
    """Its value for a model that guesses, where that is the same for every data set."""


@dataclass(frozen=True)
class TaskMeasures:
    """Shapes: N rows of a prediction table, R draws, weights R×N."""

    metrics: Mapping[str, Measure]
    """All metrics of the task, in the order in which tables list them."""
    compute: Callable[[pd.DataFrame, np.ndarray], dict[str, np.ndarray]]
    """(rows of predictions.parquet, weights) -> R values of each metric; NaN where it is not defined."""
    per_class: Callable[[pd.DataFrame, np.ndarray], dict[tuple[str, str], np.ndarray]]
    """(rows of predictions.parquet, weights) -> R values for each (class, metric)."""
