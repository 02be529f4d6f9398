"""From a table of predictions to metrics with intervals, the bootstrap draws behind them, and the three files of both.

Two stages judge: evaluate a model, embed the neighbours in its features.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from ..core.files import atomic, write_json
from .intervals import draws, percentile_interval, rate_interval, support
from .measure import Measure, Name, TaskMeasures
from .statistics import once

N = TypeVar("N", bound=Hashable)
OF_CLASSES = Measure("", "")
"""A metric that only single classes have, such as their precision, is a rate."""


def rate(_: Any) -> Measure:
    return OF_CLASSES


@dataclass(frozen=True)
class Judgement:
    """`numbers`: metrics.json. `draws`: draws.parquet, one row per draw of the test patients, one column per metric."""

    numbers: Mapping[str, Any]
    draws: pd.DataFrame


@dataclass(frozen=True)
class Resampling:
    """bootstrap: draws. confidence: coverage of the intervals. seed: of the draws."""

    bootstrap: int
    confidence: float
    seed: int


def judge(table: pd.DataFrame, task: TaskMeasures, how: Resampling) -> Judgement:
    """`table`: one row per validation and test image, as predictions.parquet has them.

    The numbers are {"val": {metric: value}, "test": {metric: {value, low, high}}, "per_class": {class: {metric:
    {value, low, high}}} of the test split, "one_class": {class, share} where nearly all test images are predicted to be
    of one class, else None, "below_chance": see there, "counts": {split: {class: {case: images}}}, "n": {split:
    {images, patients}}} and how the draws were made. None stands for a value that is not defined.

    The draws depend on the clusters of the test split and the seed alone: draw i of two models takes the same ones.
    """
    validation, test = (table[table["split"] == split] for split in ("val", "test"))
    estimated, drawn = estimates(
        lambda weights: {**task.compute(test, weights), **task.per_class(test, weights)},
        test["group"].to_numpy(), how, task.rated(test), lambda name: metric_of(name, task),
    )  # fmt: skip
    metrics = {name: own for name, own in estimated.items() if isinstance(name, str)}
    classes: dict[str, dict[str, Any]] = {}
    for name, own in estimated.items():
        if not isinstance(name, str):
            classes.setdefault(name[0], {})[name[1]] = own
    numbers = {
        "val": {name: number(value) for name, (value,) in task.compute(validation, once(len(validation))).items()},
        "test": metrics,
        "per_class": classes,
        "one_class": task.one_class(test),
        "below_chance": below_chance(metrics, task),
        "counts": {split: task.counts(part) for split, part in (("val", validation), ("test", test))},
        "n": {
            split: {"images": len(part), "patients": int(part["patient"].nunique())}
            for split, part in (("val", validation), ("test", test))
        },
        "confidence": how.confidence,
        "bootstrap": how.bootstrap,
        "seed": how.seed,
    }
    return Judgement(numbers, pd.DataFrame({name: drawn[name] for name in task.metrics}, dtype=np.float32))


def metric_of(name: Name, task: TaskMeasures) -> Measure:
    return task.metrics.get(name if isinstance(name, str) else name[1], OF_CLASSES)


def estimates(
    compute: Callable[[np.ndarray], Mapping[N, np.ndarray]], clusters: np.ndarray, how: Resampling,
    rated: Mapping[Any, Sequence[np.ndarray]] = MappingProxyType({}), measure_of: Callable[[N], Measure] = rate,
) -> tuple[dict[N, dict[str, float | None]], dict[N, np.ndarray]]:  # fmt: skip
    """({name: {value, low, high}}, {name: its value on each draw}) of numbers about n images.

    `compute`: weights R×n of the images -> R values of each name. `clusters`: of the n images. `rated`: name -> n
    booleans for each rate that it is the mean of; it gets a score interval, all others the percentiles of the draws.
    """
    chunks = [compute(weights) for weights in draws(clusters, how.bootstrap, how.seed)]
    drawn = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    estimated = {}
    for name, (value,) in compute(once(len(clusters))).items():
        measure = measure_of(name)
        if measure.spread is None or name not in rated:
            low, high = percentile_interval(drawn[name], how.confidence)
        else:
            rests_on = support(rated[name], clusters)
            rests_on = rests_on if measure.rate else replace(rests_on, images=np.inf)
            low, high = rate_interval(value, drawn[name], rests_on, measure.spread, how.confidence)
        ends = {"low": number(np.minimum(low, value)), "high": number(np.maximum(high, value))}
        estimated[name] = {"value": number(value), **ends}
    return estimated, drawn


def below_chance(estimates: Mapping[str, Mapping[str, float | None]], task: TaskMeasures) -> dict[str, str]:
    """Metric -> "interval" where its whole interval lies below what a model that guesses has, "value" where only the
    value does."""
    flags = {}
    for name, measure in task.metrics.items():
        value, high = estimates[name]["value"], estimates[name]["high"]
        if measure.chance is not None and value is not None and value < measure.chance:
            flags[name] = "interval" if high is not None and high < measure.chance else "value"
    return flags


def write(folder: Path, table: pd.DataFrame, judgement: Judgement) -> None:
    """predictions.parquet, draws.parquet, metrics.json."""
    for name, rows in (("predictions", table), ("draws", judgement.draws)):
        with atomic(folder / f"{name}.parquet") as partial:
            rows.to_parquet(partial, index=False)
    write_json(folder / "metrics.json", judgement.numbers)


def number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def flat(numbers: Mapping[str, Any]) -> dict[str, float]:
    """For MLflow: val/auroc, test/auroc, test/auroc_low, test/auroc_high, …; undefined ones are left out."""
    values = {f"val/{name}": value for name, value in numbers["val"].items()}
    for name, estimate in numbers["test"].items():
        values |= {f"test/{name}": estimate["value"]} | {f"test/{name}_{end}": estimate[end] for end in ("low", "high")}
    return {name: value for name, value in values.items() if value is not None}
