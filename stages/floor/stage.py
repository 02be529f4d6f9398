"""From arrays to floors: predictions without a network, judged as evaluate judges those of a model."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..shared.arrays.arrays import Arrays, load_arrays
from ..shared.arrays.preprocessing import restore
from ..shared.core.errors import UserError
from ..shared.core.files import write_json
from ..shared.core.job import Job, Result
from ..shared.core.paths import MANIFEST, report_dir
from ..shared.core.task import NEEDS
from ..shared.measures import MEASURES
from ..shared.measures.judge import Judgement, Resampling, flat, judge, write
from ..shared.measures.measure import TaskMeasures
from ..shared.measures.statistics import once
from ..shared.measures.truth import NO_TRUTH, truth_of
from .features import KINDS, Kind
from .linear import fit
from .params import Params
from .tables import TABLES, Half, described, mean_masks

MOST = 10_000  # training images
MEAN_MASK = Kind("Mean mask", "the mean mask of the training images, for every image")


@dataclass(frozen=True)
class Floor:
    """`table`: as predictions.parquet has it, of the validation and test images. `strength`: C of the regression."""

    name: str
    kind: Kind
    table: pd.DataFrame
    strength: float | None = None
    feature_count: int = 0


def run(params: Params, job: Job) -> Result:
    arrays, task = load_arrays(), MEASURES[params.task]
    index = arrays.index
    usable = index["has_mask"].to_numpy() if NEEDS[params.task].masks else np.ones(len(index), bool)
    train = few(index, np.flatnonzero(usable & (index["split"] == "train").to_numpy()))
    asked = np.concatenate([np.flatnonzero(usable & (index["split"] == part).to_numpy()) for part in ("val", "test")])
    settings = params.evaluate
    how = Resampling(settings.bootstrap, settings.confidence, params.seed)
    judged = {floor.name: (floor, judge(floor.table, task, how)) for floor in floors(params, arrays, train, asked)}
    facts = {"train_images": len(train), "train_patients": int(index["patient"].iloc[train].nunique())}
    save(report_dir("floor"), judged, facts)
    say(judged, task)
    return Result(metrics={f"{name}/{key}": v for name, (_, j) in judged.items() for key, v in flat(j.numbers).items()})


def few(index: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """At most MOST of the rows, group by group."""
    if len(rows) <= MOST:
        return rows
    place = np.random.default_rng(0).permutation(index["group"].max() + 1)[index["group"].iloc[rows]]
    return np.sort(rows[np.argsort(place, kind="stable")[:MOST]])


def floors(params: Params, arrays: Arrays, train: np.ndarray, asked: np.ndarray) -> Iterator[Floor]:
    """`train`, `asked`: rows to learn from, and to predict."""
    if params.task == "segmentation":
        if params.models:
            yield mean_mask(params, arrays, train, asked)
        return
    rows, labels = manifest_rows(arrays.index), arrays.targets
    for name in params.models:
        yield of_labels(name, params, arrays, rows, labels, train, asked)


def of_labels(
    name: str, params: Params, arrays: Arrays, rows: pd.DataFrame, labels: np.ndarray, train: np.ndarray,
    asked: np.ndarray,
) -> Floor:  # fmt: skip
    task, kind, index = MEASURES[params.task], KINDS[name], arrays.index.iloc[asked]

    def predictions(probabilities: np.ndarray) -> pd.DataFrame:
        return task.scored(TABLES[params.task](index, probabilities), None, NO_TRUTH, params.evaluate)

    def score(probabilities: np.ndarray) -> float:
        """Of the validation images, by the first metric of the task."""
        validation = predictions(probabilities)[(index["split"] == "val").to_numpy()]
        return float(next(iter(task.compute(validation, once(len(validation))).values()))[0])

    features = kind.features(arrays.images, rows, train) if kind.features else np.zeros((len(rows), 0))
    if features.shape[1] == 0:  # nothing differs between the images
        shares = np.bincount(labels[train], minlength=len(arrays.classes)) / len(train)
        return Floor(name, kind, predictions(np.tile(shares, (len(asked), 1))))
    own = fit(features, labels, train, asked, score)
    return Floor(name, kind, predictions(own.probabilities), own.strength, features.shape[1])


def mean_mask(params: Params, arrays: Arrays, train: np.ndarray, asked: np.ndarray) -> Floor:
    if arrays.masks is None:
        raise UserError("data/processed: has no masks. Set params.yaml: validate.mask, or task: classification.")
    mean = mean_masks(arrays.masks[train], len(arrays.structures))
    half = Half(kept=(0,) * len(arrays.structures))
    truth = truth_of(arrays, asked, partial(restore, spec=arrays.preprocess), half, half.mask)
    maps = np.broadcast_to(mean, (len(asked), *mean.shape))
    table = MEASURES[params.task].scored(described(arrays.index.iloc[asked]), maps, truth, params.evaluate)
    return Floor("mean_mask", MEAN_MASK, table)


def manifest_rows(index: pd.DataFrame) -> pd.DataFrame:
    """Of the images of the arrays, in their order."""
    if not MANIFEST.is_file():
        raise UserError(f"{MANIFEST}: missing. Run `dvc repro validate`.")
    manifest = pd.read_parquet(MANIFEST, columns=["path", "width", "height", "mode", "quantisation"])
    rows = index[["path"]].merge(manifest, on="path", how="left", validate="one_to_one")
    if rows["width"].isna().any():
        raise UserError(f"{MANIFEST}: lacks images of data/processed. Run `dvc repro preprocess`.")
    return rows


def save(folder: Path, judged: Mapping[str, tuple[Floor, Judgement]], facts: Mapping[str, Any]) -> None:
    """floor.json, and of each floor the files that evaluate leaves of a model."""
    shutil.rmtree(folder, ignore_errors=True)
    entries = []
    for name, (floor, judgement) in judged.items():
        write(folder / name, floor.table, judgement)
        entries.append(
            {
                "name": name, "title": floor.kind.title, "about": floor.kind.about, "features": floor.feature_count,
                "strength": floor.strength,
            }
        )  # fmt: skip
    write_json(folder / "floor.json", {**facts, "floors": entries})


def say(judged: Mapping[str, tuple[Floor, Judgement]], task: TaskMeasures) -> None:
    """The highest on the validation images, in one line: no test score before a model has been trained."""
    metric, measure = next(iter(task.metrics.items()))
    values = {name: j.numbers["val"][metric] for name, (_, j) in judged.items()}
    defined = {name: value for name, value in values.items() if value is not None}
    if defined:
        best = (max if measure.higher_is_better else min)(defined, key=lambda name: defined[name])
        print(
            f"floor: without a network, {judged[best][0].kind.title} reaches a validation {measure.label} of "
            f"{defined[best]:.3f}; a model has to beat that.",
            file=sys.stderr,
        )
