"""The metrics of segmentation, from a table of predictions (columns: scoring.py).

A metric per case is the mean over images, of each structure, and then the mean over structures, as nnU-Net has it.
A pooled one is computed from the pixels of all images together: large structures count for more there. Images for which
a score is not defined have no weight in its mean, and structures without any value none in the mean over structures;
only where nothing is left is a metric NaN.

Shapes: N images, K structures, R draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .measure import Measure, Name, TaskMeasures
from .scoring import OF, ORIGINAL, SCORES, scored
from .statistics import ratio

if TYPE_CHECKING:
    import pandas as pd

ONE_CLASS = 0.98  # share of the images

METRICS = {
    "dice": Measure("Dice", "Dice", headline=True, rate=False),
    "iou": Measure("IoU", "IoU", headline=True, rate=False),
    "precision": Measure("precision", "prec", rate=False),
    "recall": Measure("recall", "rec", rate=False),
    "hd95": Measure("HD95", "HD95", higher_is_better=False, headline=True, spread=None, unit="px"),
    "mean_surface_distance": Measure("mean surface distance", "MSD", higher_is_better=False, spread=None, unit="px"),
    "surface_dice": Measure("surface Dice", "sDice", headline=True, rate=False),
    "dice_pooled": Measure("pooled Dice", "pDice", rate=False),
    "iou_pooled": Measure("pooled IoU", "pIoU", rate=False),
    "dice_original": Measure("Dice, original size", "Dice (orig)", rate=False),
    "hd95_original": Measure(
        "HD95, original size", "HD95 (orig)", higher_is_better=False, spread=None, unit="px of the file"
    ),
    "detection_sensitivity": Measure("detection sensitivity", "det.sens"),
    "detection_specificity": Measure("detection specificity", "det.spec"),
}
PER_CASE = (*SCORES, f"dice{ORIGINAL}", f"hd95{ORIGINAL}")
MEANS = [name for name, measure in METRICS.items() if measure.spread and not measure.rate]


@dataclass(frozen=True)
class Answers:
    """Rows of predictions.parquet as arrays."""

    table: pd.DataFrame

    @cached_property
    def structures(self) -> list[str]:
        """In the order of the model's outputs."""
        return [name.partition(OF)[2] for name in map(str, self.table) if name.startswith(f"tp{OF}")]

    @property
    def classes(self) -> list[str]:
        return self.structures

    def score(self, name: str) -> np.ndarray:
        """N×K of a count or a score; NaN: not defined."""
        columns = [f"{name}{OF}{structure}" for structure in self.structures]
        return np.asarray(self.table[columns], dtype=np.float64)

    def image(self, name: str) -> np.ndarray:
        """N: mean over the structures of each image for which it is defined."""
        return mean_over_structures(self.score(name))

    @cached_property
    def there(self) -> np.ndarray:
        """N×K booleans: the structure is in the image."""
        return np.asarray(self.score("tp") + self.score("fn") > 0)

    @cached_property
    def predicted(self) -> np.ndarray:
        """N×K booleans: the model says so."""
        return np.asarray(self.score("tp") + self.score("fp") > 0)


def measures(table: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Each of METRICS, R values. `table`: N rows of predictions.parquet; `weights`: R×N, not negative."""
    values = by_structure(Answers(table), weights)
    return {name: mean_over_structures(values[name]) for name in METRICS}


def per_class(table: pd.DataFrame, weights: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """(structure, metric | support) -> R values. Support: the images with the structure."""
    answers = Answers(table)
    values = by_structure(answers, weights) | {"support": weights @ answers.there.astype(np.float64)}
    return {
        (name, metric): columns[:, k] for k, name in enumerate(answers.structures) for metric, columns in values.items()
    }


def by_structure(answers: Answers, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Each of METRICS, R×K."""
    there, predicted = answers.there, answers.predicted
    scores = {name: answers.score(name) for name in PER_CASE} | {
        "detection_sensitivity": np.where(there, predicted, np.nan),
        "detection_specificity": np.where(there, np.nan, ~predicted),
    }
    of_images = np.stack([*scores.values(), *(answers.score(name) for name in ("tp", "fp", "fn"))], axis=1)
    drawn = weights.astype(np.float64)  # numpy multiplies matrices of equal types fast
    sums, images = (np.einsum("rn,nmk->mrk", drawn, part, optimize=True) for part in defined(of_images))
    means = dict(zip(scores, ratio(sums[:-3], images[:-3]), strict=True))
    tp, fp, fn = sums[-3:]
    return means | {"dice_pooled": ratio(2 * tp, 2 * tp + fp + fn), "iou_pooled": ratio(tp, tp + fp + fn)}


def defined(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the scores, 0 where they are not defined; 1 where they are, else 0)."""
    return np.nan_to_num(scores), np.isfinite(scores).astype(np.float64)


def mean_over_structures(values: np.ndarray) -> np.ndarray:
    """…×K -> …; NaN where no structure has a value."""
    return ratio(np.nansum(values, axis=-1), np.isfinite(values).sum(axis=-1))


def rated(table: pd.DataFrame) -> dict[Name, list[np.ndarray]]:
    """The images of each rate and mean between 0 and 1, N booleans: of every metric, and of every (structure, metric).
    A mean over structures is over those that have such images."""
    answers = Answers(table)
    pooled = {"dice_pooled": "dice", "iou_pooled": "iou"}
    images = {name: np.isfinite(answers.score(pooled.get(name, name))).T for name in MEANS}
    images |= {"detection_sensitivity": answers.there.T, "detection_specificity": ~answers.there.T}
    parts: dict[Name, list[np.ndarray]] = {}
    for name, of_structures in images.items():
        parts[name] = [rows for rows in of_structures if rows.any()]
        parts |= {(label, name): [rows] for label, rows in zip(answers.structures, of_structures, strict=True)}
    return {name: rows for name, rows in parts.items() if rows}


def one_class(table: pd.DataFrame) -> dict[str, Any] | None:
    """{"class": "nothing" | "everything", "share"} of what at least ONE_CLASS of the images are predicted to show, no
    structure at all or no background, else None. Where nearly all images are empty (full), so are right predictions:
    then less than half as many have to be predicted otherwise as are otherwise."""
    answers = Answers(table)
    pixels = sum(answers.score(name)[:, 0] for name in ("tp", "fp", "fn", "tn"))
    truth, predicted = ((answers.score("tp") + answers.score(name)).sum(axis=1) for name in ("fn", "fp"))
    for name, size in (("nothing", 0), ("everything", pixels)):
        share = float((predicted == size).mean()) if len(table) else 0.0
        if share >= ONE_CLASS and 1 - share < float((truth != size).mean()) / 2:
            return {"class": name, "share": share}
    return None


def counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Of each structure: the images that show it (`present`), those that show it and for which nothing is predicted
    (`misses`), those without it for which something is (`false_alarms`), and those without it for which nothing is,
    whose Dice is not defined (`undefined`)."""
    answers = Answers(table)
    there, predicted = answers.there, answers.predicted
    cases = {
        "present": there, "misses": there & ~predicted, "false_alarms": predicted & ~there,
        "undefined": ~there & ~predicted,
    }  # fmt: skip
    return {
        structure: {name: int(images[:, k].sum()) for name, images in cases.items()}
        for k, structure in enumerate(answers.structures)
    }


def structures(meta: Mapping[str, Any]) -> list[str]:
    return list(meta["structures"])


WATCHED = {"val_dice": "validation Dice"}
MEASURES = TaskMeasures(
    METRICS, measures, per_class, rated, one_class, Answers, {}, WATCHED, scored, counts, structures
)
