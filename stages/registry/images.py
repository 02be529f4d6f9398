"""Today's test images, and what an exported model says of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..shared.core import metadata
from ..shared.core.errors import UserError
from ..shared.core.hardware import cores
from ..shared.core.paths import MANIFEST, PROCESSED
from ..shared.core.progress import progress
from ..shared.core.task import CALIBRATED, PROBABILITY
from ..shared.exported.source import Source, table_of
from .decision import Dropped

if TYPE_CHECKING:
    from ..shared.exported.export import Export

BATCH = 32
TIMED = 20  # images
FACTS = ["path", "sha256", "width", "height", "brightness", "contrast"]


def today() -> pd.DataFrame:
    """One row per test image: path, label (categorical, in the order of the classes), patient, group, sha256, width,
    height, brightness, contrast, and site and metadata where there are any.

    Raises:
        UserError: preprocess or validate has not run, their files do not belong together, or there is no test image.
    """
    index = table_of(PROCESSED / "index.parquet", "preprocess")
    manifest = table_of(MANIFEST, "validate", FACTS)
    columns = ["path", "label", "patient", "group", *(["site"] if "site" in index else [])]
    test = index.loc[index["split"] == "test", [*columns, *metadata.columns(index.columns)]]
    if test.empty:
        raise UserError(f"{PROCESSED / 'index.parquet'}: has no test image. Set preprocess.split.test above 0.")
    joined = test.merge(manifest, on="path", how="left", validate="one_to_one")
    if joined["sha256"].isna().any():
        raise UserError(f"{MANIFEST}: lacks images of {PROCESSED / 'index.parquet'}. Run `dvc repro preprocess`.")
    return joined.assign(site=joined["site"].astype(object)) if "site" in joined else joined


def learned_by(export: Export, test: pd.DataFrame) -> np.ndarray:
    """N booleans: test images that may not judge this model, because it learned from an image of their group, or was
    tuned on one. A group is a patient, with all who share a picture with them."""
    seen = test["patient"].astype(str).isin(export.training.patients) | test["sha256"].isin(export.training.sha256)
    return np.asarray(test["group"].isin(test.loc[seen, "group"]))


def dropped(test: pd.DataFrame, rows: np.ndarray) -> Dropped:
    return Dropped(patients=int(test.loc[rows, "patient"].nunique()), images=int(rows.sum()))


def check_classes(export: Export, test: pd.DataFrame, which: str) -> None:
    """Raises UserError when the model's classes are not today's."""
    classes = list(test["label"].cat.categories)
    if export.classes != classes:
        raise UserError(
            f"The {which}, {export.recipe.key}, knows the classes {', '.join(export.classes)}; the test images have "
            f"{', '.join(classes)}. Their answers cannot be compared. For other classes, set another registry.name."
        )


def predictions(export: Export, test: pd.DataFrame, what: str) -> pd.DataFrame:
    """`test` with the columns predicted, prob_<class> and calibrated_<class>, by the model's own preprocessing of the
    images in data/raw.zip."""
    source, scores, calibrated, predicted = Source.of(export, test["path"].tolist(), "test images"), [], [], list[str]()
    with (
        ThreadPoolExecutor(cores()) as pool,
        progress(desc=what, unit="images", total=len(test)) as bar,
    ):
        for start in range(0, len(test), BATCH):
            paths = test["path"].iloc[start : start + BATCH]
            answers = export.predict(np.stack(list(pool.map(source.image, paths))))
            scores.append(answers.scores)
            calibrated.append(answers.probabilities)
            predicted += [decision.predicted for decision in export.decide(answers)]
            bar.update(len(paths))
    return test.assign(
        predicted=pd.Categorical(predicted, categories=export.classes),
        **columns(PROBABILITY, export.classes, np.concatenate(scores)),
        **columns(CALIBRATED, export.classes, np.concatenate(calibrated)),
    )


def columns(prefix: str, classes: list[str], values: np.ndarray) -> Mapping[str, np.ndarray]:
    return {f"{prefix}{name}": values[:, k].astype(np.float64) for k, name in enumerate(classes)}


def latency(export: Export, test: pd.DataFrame, clock: Callable[[], float] = time.perf_counter) -> float:
    """Median milliseconds of one image, from its bytes to the answer; the first one warms up."""
    source, spent = Source.of(export, test["path"].tolist(), "test images"), []
    for path in test["path"].iloc[: TIMED + 1]:
        (data, masks), start = source.read(path), clock()
        export.decide(export.predict(source.prepare(path, data, masks)[None]))
        spent.append(1000 * (clock() - start))
    return median(spent[1:] or spent)
