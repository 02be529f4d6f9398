"""The metrics of anomaly detection, from a table of predictions: columns score, predicted, threshold.

AUROC, AUPRC and the sensitivities at a given specificity need no threshold; the latter are points of the ROC curve of
the images that are judged, and promise nothing for others. Sensitivity, specificity and balanced accuracy are those at
the threshold, which was chosen on validation images. Where lesions are annotated, the maps are judged too (pixels.py);
masks of anatomy judge nothing.

Shapes: N images, R draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from . import classification, pixels
from .intervals import area_spread
from .measure import Measure, Name, Options, TaskMeasures, Truth
from .statistics import auroc, confusion, ranking, ratio
from .threshold import choose, prevalences

if TYPE_CHECKING:
    import pandas as pd

ONE_CLASS = 0.98  # share of the images
MOST = 0.5  # of the annotated normal images
METRICS = {
    "auroc": Measure("AUROC", "AUROC", headline=True, chance=0.5, spread=area_spread),
    "auprc": Measure("AUPRC", "AUPRC"),
    "sensitivity_at_90": Measure("sensitivity at 90% specificity", "sens@90", headline=True),
    "sensitivity_at_95": Measure("sensitivity at 95% specificity", "sens@95"),
    "balanced_accuracy": Measure("balanced accuracy", "bal.acc", decided=True),
    "sensitivity": Measure("sensitivity", "sens", headline=True, decided=True),
    "specificity": Measure("specificity", "spec", headline=True, decided=True),
    "pixel_auroc": Measure("pixel AUROC", "pixAUROC", chance=0.5, spread=None),
    "aupro": Measure("AUPRO", "AUPRO", chance=pixels.FALSE_PIXELS / 2, spread=None),
}


@dataclass(frozen=True)
class Answers:
    """Rows of predictions.parquet as arrays."""

    table: pd.DataFrame

    @cached_property
    def classes(self) -> list[str]:
        """The normal one first; those after it are all anomalous."""
        return list(self.table["label"].cat.categories)

    @cached_property
    def anomalous(self) -> np.ndarray:
        """N booleans."""
        return np.asarray(self.table["label"].cat.codes > 0)

    @cached_property
    def score(self) -> np.ndarray:
        return np.asarray(self.table["score"], dtype=np.float64)

    @property
    def ranked(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Of what a curve is given for: N booleans, is anomalous, and N scores."""
        return {ANOMALOUS: (self.anomalous, self.score)}

    @property
    def outlined(self) -> bool:
        """Whether there are annotations to judge the maps by."""
        return pixels.COLUMNS[0] in self.table

    @cached_property
    def alarm(self) -> np.ndarray:
        """N booleans: above the threshold."""
        return np.asarray(self.table["score"] > self.table["threshold"])

    @property
    def right(self) -> np.ndarray:
        """N booleans."""
        return np.asarray(self.alarm == self.anomalous)


def scored(table: pd.DataFrame, maps: np.ndarray, truth: Truth, options: Options) -> pd.DataFrame:
    """`table` (column score, the larger the less normal) with the columns predicted, the normal class or ANOMALOUS, and
    threshold, which is chosen on the rows of the validation split alone; where lesions are annotated, with those of
    pixels.counted too. `maps`: n×H×W."""
    import pandas as pd

    answers, validation = Answers(table), np.asarray(table["split"] == "val")
    prevalence = prevalences(options.prevalence, [ANOMALOUS])[ANOMALOUS]
    own = answers.score[validation], answers.anomalous[validation]
    threshold = choose(*own, options.operating_point, prevalence=prevalence).threshold
    kinds = [answers.classes[0], ANOMALOUS]
    predicted = pd.Categorical.from_codes((answers.score > threshold).astype(int), categories=kinds)
    table = table.assign(predicted=predicted, threshold=threshold)
    if not truth.structures:
        return table
    annotated = np.ones(len(table), dtype=bool) if truth.annotated is None else truth.annotated
    of_lesions = lesions(truth, annotated & ~answers.anomalous)
    if not of_lesions:
        return table

    def lesions_of(i: int) -> np.ndarray:
        return np.isin(truth.masks[i], of_lesions if answers.anomalous[i] else [])

    return table.assign(**pixels.counted(maps, lesions_of, annotated | ~answers.anomalous))


def lesions(truth: Truth, normal: np.ndarray) -> list[int]:
    """Numbers of the structures that are lesions. What most annotated normal images show, such as lungs, is anatomy.
    `normal`: n booleans, annotated and normal."""
    rows, numbers = np.flatnonzero(normal), range(1, len(truth.structures) + 1)
    there = np.array([np.isin(numbers, truth.masks[i]) for i in rows]).reshape(len(rows), len(numbers))
    return [k for k, images in zip(numbers, there.sum(axis=0), strict=True) if images <= MOST * len(rows)]


def counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Of each class: its images and patients, and how many images are above the threshold."""
    answers = Answers(table)
    rows = {name: np.asarray(table["label"] == name) for name in answers.classes}
    return {
        name: {
            "images": int(own.sum()),
            "patients": int(table.loc[own, "patient"].nunique()),
            "alarms": int((own & answers.alarm).sum()),
        }
        for name, own in rows.items()
    }


def measures(table: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Each of METRICS, R values. `table`: N rows of predictions.parquet; `weights`: R×N, not negative."""
    answers = Answers(table)
    ranked = ranking(answers.anomalous, answers.score, weights)
    counts = confusion(answers.anomalous.astype(int), answers.alarm.astype(int), 2, weights)
    nowhere = np.full(len(weights), np.nan)
    rates = ratio(counts.diagonal(axis1=1, axis2=2), counts.sum(axis=2))
    values = {
        "auroc": ranked.auroc(),
        "auprc": ranked.average_precision(),
        "sensitivity_at_90": ranked.sensitivity_at(0.90),
        "sensitivity_at_95": ranked.sensitivity_at(0.95),
        "balanced_accuracy": rates.mean(axis=1),
        "sensitivity": rates[:, 1],
        "specificity": rates[:, 0],
        "pixel_auroc": pixels.pixel_auroc(table, weights) if answers.outlined else nowhere,
        "aupro": pixels.aupro(table, weights) if answers.outlined else nowhere,
    }
    return {name: values[name] for name in METRICS}


def per_class(table: pd.DataFrame, weights: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """(class, auroc | alarms | support) -> R values. AUROC: an anomalous class against the normal one; alarms: the
    share of the class above the threshold."""
    answers = Answers(table)
    codes = np.asarray(table["label"].cat.codes)
    values: dict[tuple[str, str], np.ndarray] = {}
    for k, name in enumerate(answers.classes):
        own = codes == k
        if k:
            pair = own | (codes == 0)
            values[name, "auroc"] = auroc(own[pair], answers.score[pair], weights[:, pair])
        values[name, "alarms"] = ratio(weights @ (own & answers.alarm), weights @ own)
        values[name, "support"] = weights @ own
    return values


def rated(table: pd.DataFrame) -> dict[Name, list[np.ndarray]]:
    """The images of each rate, N booleans: of every metric, and of every (class, metric)."""
    answers = Answers(table)
    sick, healthy = answers.anomalous, ~answers.anomalous
    codes = np.asarray(table["label"].cat.codes)
    of_class: dict[Name, list[np.ndarray]] = {}
    for k, name in enumerate(answers.classes):
        of_class[name, "alarms"] = [codes == k]
        if k:
            of_class[name, "auroc"] = [codes == 0, codes == k]
    return {
        "auroc": [healthy, sick], "auprc": [sick], "sensitivity_at_90": [sick], "sensitivity_at_95": [sick],
        "balanced_accuracy": [healthy, sick], "sensitivity": [sick], "specificity": [healthy], **of_class,
    }  # fmt: skip


def one_class(table: pd.DataFrame) -> dict[str, Any] | None:
    """{"class", "share"} of what at least ONE_CLASS of the images are predicted to be, else None. Where nearly all
    images are of one kind, so are right predictions: then less than half as many have to be predicted to be of the
    other kind as are of it."""
    answers = Answers(table)
    share = float(answers.alarm.mean()) if len(table) else 0.0
    sick = float(answers.anomalous.mean()) if len(table) else 0.0
    if share >= ONE_CLASS and 1 - share < (1 - sick) / 2:
        return {"class": ANOMALOUS, "share": share}
    if len(table) and 1 - share >= ONE_CLASS and share < sick / 2:
        return {"class": answers.classes[0], "share": 1 - share}
    return None


ANOMALOUS = "anomalous"
"""What an image above the threshold is predicted to be."""
CURVES = classification.CURVES
SECTIONS = ("operating_point",)
WATCHED = {"val_auroc": "validation AUROC"}
MEASURES = TaskMeasures(
    METRICS, measures, per_class, rated, one_class, Answers, CURVES, WATCHED, scored, counts, sections=SECTIONS
)
