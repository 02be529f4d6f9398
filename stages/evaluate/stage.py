"""From a model to predictions, numbers and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..shared.arrays.arrays import Arrays, load_arrays
from ..shared.core import paths
from ..shared.core.errors import UserError
from ..shared.core.files import atomic, write_json
from ..shared.core.job import Job, Result
from ..shared.measures.statistics import draws, interval
from ..shared.model.model import load, probabilities
from ..shared.model.recipe import Recipe
from .figures import draw_confusion, draw_pr, draw_roc
from .metrics import metrics, per_class
from .params import Params


def run(params: Params, job: Job) -> Result:
    model, recipe = load(paths.model_dir(job.member))
    arrays = load_arrays()
    check_fit(recipe, arrays)
    folder = paths.report_dir("evaluate", job.member)
    table = predict(model, recipe, arrays, validation_rows(recipe, arrays))
    with atomic(folder / "predictions.parquet") as partial:
        table.to_parquet(partial, index=False)
    numbers = measure(table, recipe.classes, params)
    write_json(folder / "metrics.json", numbers)
    return Result(metrics=flat(numbers), figures=draw(table, recipe, folder))


def check_fit(recipe: Recipe, arrays: Arrays) -> None:
    """A model may only be judged on arrays made the way it was taught."""
    if (recipe.classes, recipe.data) != (arrays.classes, arrays.fingerprint):
        raise UserError(
            f"models/{recipe.key} was trained on other arrays than those in {paths.PROCESSED} (fingerprint "
            f"{recipe.data[:12]} instead of {arrays.fingerprint[:12]}). Run `dvc repro train@{recipe.key}`."
        )


def validation_rows(recipe: Recipe, arrays: Arrays) -> np.ndarray:
    """The fold this model stopped on, which need not be the index's own `val`."""
    return np.flatnonzero(arrays.index["fold"] == recipe.params["sample"]["fold"])


def predict(model: Any, recipe: Recipe, arrays: Arrays, validation: np.ndarray) -> pd.DataFrame:
    """One row per validation and test image: path, label, patient, split, predicted, prob_<class>…"""
    test = arrays.rows("test")
    rows = np.concatenate([validation, test])
    probs = probabilities(model, arrays.images, rows)
    table = arrays.index.iloc[rows][["path", "label", "patient"]].reset_index(drop=True)
    table["split"] = ["val"] * len(validation) + ["test"] * len(test)
    table["predicted"] = pd.Categorical.from_codes(probs.argmax(axis=1), categories=recipe.classes)
    for k, name in enumerate(recipe.classes):
        table[f"prob_{name}"] = probs[:, k]
    return table


def measure(table: pd.DataFrame, classes: list[str], params: Params) -> dict[str, Any]:
    """{"val": {metric: value}, "test": {metric: {value, low, high}}, "per_class": …, "n": …}; None: not defined."""
    numbers: dict[str, Any] = {"confidence": params.confidence, "bootstrap": params.bootstrap, "n": {}}
    for split in ("val", "test"):
        part = table[table["split"] == split]
        told = answers(part, classes)
        whole = metrics(*told, np.ones((1, len(part))))
        numbers["n"][split] = {"images": len(part), "patients": int(part["patient"].nunique())}
        numbers[split] = {name: number(values[0]) for name, values in whole.items()}
    chunks = [metrics(*told, weights) for weights in draws(part["patient"], params.bootstrap, params.seed)]
    for name, value in numbers["test"].items():
        low, high = interval(np.concatenate([chunk[name] for chunk in chunks]), params.confidence)
        numbers["test"][name] = {"value": value, "low": number(low), "high": number(high)}
    numbers["per_class"] = per_class(told[0], told[2], classes)
    return numbers


def answers(part: pd.DataFrame, classes: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(targets N, probabilities N×K, predicted N)."""
    probs = part[[f"prob_{name}" for name in classes]].to_numpy()
    return part["label"].cat.codes.to_numpy(), probs, part["predicted"].cat.codes.to_numpy()


def number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def flat(numbers: dict[str, Any]) -> dict[str, float]:
    """For MLflow: val_auroc, test_auroc, test_auroc_low, test_auroc_high, …; undefined ones are left out."""
    found = {f"val_{name}": value for name, value in numbers["val"].items()}
    for name, triple in numbers["test"].items():
        found |= {
            f"test_{name}": triple["value"],
            f"test_{name}_low": triple["low"],
            f"test_{name}_high": triple["high"],
        }
    return {name: value for name, value in found.items() if value is not None}


def draw(table: pd.DataFrame, recipe: Recipe, folder: Path) -> tuple[Path, ...]:
    test = table[table["split"] == "test"]
    targets, probs, predicted = answers(test, recipe.classes)
    return (
        draw_confusion(targets, predicted, recipe.classes, recipe.key, folder / "confusion.png"),
        draw_roc(targets, probs, recipe.classes, recipe.key, folder / "roc.png"),
        draw_pr(targets, probs, recipe.classes, recipe.key, folder / "pr.png"),
    )
