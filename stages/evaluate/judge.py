"""From a table of predictions to metrics with intervals, and the bootstrap draws behind them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from ..shared.measures.measure import TaskMeasures
from ..shared.measures.statistics import draws, interval, once
from .params import Params

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Judgement:
    """`numbers`: metrics.json. `draws`: draws.parquet, one row per draw of the test patients, one column per metric."""

    numbers: Mapping[str, Any]
    draws: pd.DataFrame


def judge(table: pd.DataFrame, task: TaskMeasures, params: Params) -> Judgement:
    """`table`: one row per validation and test image, as predictions.parquet has them.

    The numbers are {"val": {metric: value}, "test": {metric: {value, low, high}}, "per_class": {class: {metric:
    {value, low, high}}} of the test split, "n": {split: {images, patients}}} and how the draws were made. None stands
    for a value that is not defined.
    """
    validation, test = (table[table["split"] == split] for split in ("val", "test"))
    estimates, replicates = bootstrap(task.compute, test, params)
    classes: dict[str, dict[str, Any]] = {}
    for (name, metric), estimate in bootstrap(task.per_class, test, params)[0].items():
        classes.setdefault(name, {})[metric] = estimate
    numbers = {
        "val": {name: number(values[0]) for name, values in task.compute(validation, once(len(validation))).items()},
        "test": estimates,
        "per_class": classes,
        "n": {
            split: {"images": len(part), "patients": int(part["patient"].nunique())}
            for split, part in (("val", validation), ("test", test))
        },
        "confidence": params.confidence,
        "bootstrap": params.bootstrap,
        "seed": params.seed,
    }
    return Judgement(numbers, pd.DataFrame(replicates))


Compute = Callable[[pd.DataFrame, np.ndarray], Mapping[Name, np.ndarray]]


def bootstrap(
    compute: Compute[Name], test: pd.DataFrame, params: Params
) -> tuple[dict[Name, dict[str, float | None]], dict[Name, np.ndarray]]:
    """Each metric as {value, low, high}, and its value on every draw. The draws depend on the patients and the seed
    alone, so that draw i of two models takes the same patients."""
    chunks = [compute(test, weights) for weights in draws(test["patient"], params.bootstrap, params.seed)]
    replicates = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    estimates = {}
    for name, values in compute(test, once(len(test))).items():
        low, high = interval(replicates[name], params.confidence)
        estimates[name] = {"value": number(values[0]), "low": number(low), "high": number(high)}
    return estimates, replicates


def number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def flat(numbers: Mapping[str, Any]) -> dict[str, float]:
    """For MLflow: val/auroc, test/auroc, test/auroc_low, test/auroc_high, …; undefined ones are left out."""
    values = {f"val/{name}": value for name, value in numbers["val"].items()}
    for name, estimate in numbers["test"].items():
        values |= {f"test/{name}": estimate["value"]} | {f"test/{name}_{end}": estimate[end] for end in ("low", "high")}
    return {name: value for name, value in values.items() if value is not None}
