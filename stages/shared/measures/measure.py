"""What a metric is called and which way is better, and what a task brings to be judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .intervals import binomial_spread
from .threshold import Rule

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Name = str | tuple[str, str]
"""A metric, or (class, metric)."""


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
    spread: Callable[[float], float] | None = binomial_spread
    """Of metrics between 0 and 1: variance per image at a value, for score intervals. None: percentile intervals."""
    rate: bool = True
    """Each image is right or wrong, as in a rate or an area. False: a mean of scores between 0 and 1, which may differ
    far less from image to image than right and wrong do."""
    decided: bool = False
    """Computed from the predicted class, which with two classes depends on the operating point."""
    unit: str = ""
    """Of metrics that are not between 0 and 1."""


@dataclass(frozen=True)
class Curve:
    """A curve over all thresholds, one per class against the rest. N images."""

    metric: str
    """The area below it."""
    x: str
    y: str
    x_label: str
    y_label: str
    points: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    """(N booleans: is of the class, N scores) -> x, ascending, and y."""
    steps: bool
    """Between two points it is as high as the second; otherwise a straight line."""
    chance: Callable[[float], tuple[float, float]]
    """Share of the class -> the heights at x = 0 and x = 1 of the line of a model that guesses."""
    free_corner: Literal["lower left", "lower right"]
    """Where a good curve leaves room for a legend."""


class Options(Protocol):
    """What the `evaluate` section says about scores of single images."""

    @property
    def surface_tolerance(self) -> float:
        """Share of the diagonal of an image by which a boundary may be off."""

    @property
    def operating_point(self) -> Rule:
        """How scores become decisions."""

    @property
    def prevalence(self) -> float | Mapping[str, float] | None:
        """Of the positives where the model is to be used, or of each class by name; None: as among the images."""


class Decision(Protocol):
    """How maps of probabilities become masks (model/recipe.py)."""

    @property
    def level(self) -> int:
        """The threshold, in 255ths."""

    @property
    def kept(self) -> tuple[int, ...]:
        """For each structure, how many of its largest components stay; 0: all."""


@dataclass(frozen=True)
class Truth:
    """The annotated masks of the rows of a table. n rows, H×W the size that the network reads. Masks hold class
    numbers: 0 background, k the k-th of `structures`."""

    masks: np.ndarray
    """n×H×W."""
    structures: list[str]
    original: Callable[[int], np.ndarray | None]
    """Row -> the mask at the size of its file, h×w; None where there is none. Called from several threads."""
    restore: Callable[[np.ndarray, tuple[int, int]], np.ndarray]
    """(map H×W as the network gives it, (h, w) of the file) -> map h×w."""
    annotated: np.ndarray | None = None
    """n booleans: of the others the mask means nothing. None: all are."""
    decision: Decision | None = None
    """None for a task whose maps become no masks."""
    mask_of: Callable[[np.ndarray], np.ndarray] | None = None
    """Maps K×h×w in 255ths -> the mask h×w that this decision makes of them."""


def unscored(table: pd.DataFrame, maps: np.ndarray | None, truth: Truth, options: Options) -> pd.DataFrame:
    """For a task whose predictions are the table itself."""
    return table


def uncounted(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """For a task without special cases."""
    return {}


def labels(meta: Mapping[str, Any]) -> list[str]:
    """For a task whose answers are the labels of images."""
    return list(meta["classes"])


@dataclass(frozen=True)
class TaskMeasures:
    """Shapes: N rows of a prediction table, R draws, weights R×N."""

    metrics: Mapping[str, Measure]
    """All metrics of the task, in the order in which tables list them."""
    compute: Callable[[pd.DataFrame, np.ndarray], dict[str, np.ndarray]]
    """(rows of predictions.parquet, weights) -> R values of each metric; NaN where it is not defined."""
    per_class: Callable[[pd.DataFrame, np.ndarray], dict[tuple[str, str], np.ndarray]]
    """(rows of predictions.parquet, weights) -> R values for each (class, metric)."""
    rated: Callable[[pd.DataFrame], Mapping[Name, list[np.ndarray]]]
    """Rows -> for each metric and each (class, metric): N booleans for each rate or mean that it is the mean of, true
    for the images that it is over. What has no entry gets a percentile interval."""
    one_class: Callable[[pd.DataFrame], Mapping[str, Any] | None]
    """Rows -> the class that nearly all of them are predicted to be, and their share."""
    answers: Callable[[pd.DataFrame], Any]
    """The rows as arrays, with the `classes` of the model, for what is drawn of this task alone."""
    curves: Mapping[str, Curve]
    """By the name of the figure."""
    watched: Mapping[str, str]
    """Validation metrics in a training history, and what they are called; the last one matters most."""
    scored: Callable[[pd.DataFrame, Any, Truth, Options], pd.DataFrame] = unscored
    """(what the task predicts: one row per image, and maps, an array or None; truth; options) -> what
    predictions.parquet holds."""
    counts: Callable[[pd.DataFrame], Mapping[str, Mapping[str, int]]] = uncounted
    """Rows -> for each class: how many images are a special case, by its name."""
    classes: Callable[[Mapping[str, Any]], list[str]] = labels
    """data/processed/meta.json -> what `answers` has classes of."""
    sections: tuple[str, ...] = ()
    """Of metrics.json beside the metrics (evaluate/evidence): those without which compare cannot show a model."""
