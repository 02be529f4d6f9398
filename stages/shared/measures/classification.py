"""The metrics of classification, from a table of predictions.

In a binary problem, sensitivity, specificity, PPV, NPV, F1, AUROC, AUPRC and each of the two rates at a fixed value of
the other are of the last class, the positive one; with more classes they are means over the classes, each against the
rest (macro). Accuracy, MCC, kappa, Brier score and log loss are of all classes at once. scikit-learn, with
`sample_weight`, is the reference in the tests. Where a draw leaves a ratio without a denominator the value is NaN.

Shapes: N images, K classes, R draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import UserError
from ..core.task import CALIBRATED, LOG_PROBABILITY, PROBABILITY, THRESHOLD
from .intervals import area_spread
from .measure import Curve, Measure, Name, Options, TaskMeasures, Truth
from .reliability import SMALLEST, brier, ece, log_loss, surprise
from .statistics import Ranking, agreement, confusion, precision_recall_curve, ranking, ratio, roc_curve
from .threshold import RULES, choose, prevalences

if TYPE_CHECKING:
    import pandas as pd

ONE_CLASS = 0.98  # share of the images
HALF = 0.5
"""The threshold where validation cannot choose one."""

METRICS = {
    "auroc": Measure("AUROC", "AUROC", headline=True, chance=0.5, spread=area_spread),
    "auprc": Measure("AUPRC", "AUPRC"),
    "balanced_accuracy": Measure("balanced accuracy", "bal.acc", headline=True, decided=True),
    "accuracy": Measure("accuracy", "acc", decided=True),
    "sensitivity": Measure("sensitivity", "sens", headline=True, decided=True),
    "specificity": Measure("specificity", "spec", headline=True, decided=True),
    "ppv": Measure("PPV", "PPV", decided=True),
    "npv": Measure("NPV", "NPV", decided=True),
    "f1": Measure("F1", "F1", decided=True),
    "ece": Measure("calibration error", "ECE", higher_is_better=False, rate=False),
    "mcc": Measure("MCC", "MCC", chance=0.0, spread=None, decided=True),
    "kappa": Measure("Cohen’s kappa", "kappa", chance=0.0, spread=None, decided=True),
    "brier": Measure("Brier score", "Brier", higher_is_better=False, spread=None),
    "log_loss": Measure("log loss", "log loss", higher_is_better=False, spread=None),
    "sensitivity_at_90": Measure("sensitivity at 90% specificity", "sens@90"),
    "sensitivity_at_95": Measure("sensitivity at 95% specificity", "sens@95"),
    "specificity_at_90": Measure("specificity at 90% sensitivity", "spec@90"),
    "specificity_at_95": Measure("specificity at 95% sensitivity", "spec@95"),
}
"""The Brier score is scikit-learn's: the mean squared error of the probability of the positive class; with more than
two classes the squared errors of all classes are added up, so that it lies between 0 and 2. The log loss limits
probabilities to what 64 bits tell from 0 and 1, as scikit-learn does."""

CURVES = {
    "roc": Curve(
        "auroc", "fpr", "tpr", "1 − specificity (false positives)", "sensitivity (true positives)", roc_curve,
        steps=False, chance=lambda share: (0, 1), free_corner="lower right",
    ),
    "precision_recall": Curve(
        "auprc", "recall", "precision", "recall (sensitivity)", "precision (PPV)", precision_recall_curve,
        steps=True, chance=lambda share: (share, share), free_corner="lower left",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """Rows of predictions.parquet as arrays."""

    table: pd.DataFrame

    @cached_property
    def classes(self) -> list[str]:
        """In the order of the model's outputs."""
        return [name.removeprefix(PROBABILITY) for name in self.table if str(name).startswith(PROBABILITY)]

    @cached_property
    def truth(self) -> np.ndarray:
        """N class numbers. Raises KeyError for a label that is no class."""
        return self._codes("label")

    @cached_property
    def predicted(self) -> np.ndarray:
        """N class numbers."""
        return self._codes("predicted")

    @property
    def right(self) -> np.ndarray:
        """N booleans."""
        return np.asarray(self.predicted == self.truth)

    @property
    def confidence(self) -> np.ndarray:
        """N: the probability of the predicted class. Of two classes both are weighed first so that the threshold
        becomes 0.5: what lies at the threshold is the least certain, wherever that is."""
        if THRESHOLD not in self.table:
            return np.asarray(np.take_along_axis(self.probabilities, self.predicted[:, None], axis=1)[:, 0])
        at = np.clip(np.asarray(self.table[THRESHOLD], dtype=np.float64), SMALLEST, 1 - SMALLEST)
        weighed = self.probabilities * np.stack([at, 1 - at], axis=1)
        return np.asarray(weighed[np.arange(len(at)), self.predicted] / weighed.sum(axis=1))

    def _codes(self, column: str) -> np.ndarray:
        numbers = {name: k for k, name in enumerate(self.classes)}
        return np.array([numbers[label] for label in self.table[column].astype(str)], dtype=np.int64)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """N×K."""
        return np.asarray(self.table[[f"{PROBABILITY}{name}" for name in self.classes]], dtype=np.float64)

    @cached_property
    def log_probabilities(self) -> np.ndarray:
        """N×K; where the table has them, those that the model gave, which tell 0 from nearly 0."""
        names = [f"{LOG_PROBABILITY}{name}" for name in self.classes]
        if set(names) <= set(self.table):
            return np.asarray(self.table[names], dtype=np.float64)
        return np.asarray(np.log(np.maximum(self.probabilities, np.finfo(np.float64).tiny)))

    @cached_property
    def calibrated(self) -> np.ndarray:
        """N×K probabilities. Only the tables of evaluate have them."""
        return np.asarray(self.table[[f"{CALIBRATED}{name}" for name in self.classes]], dtype=np.float64)

    @property
    def positives(self) -> list[int]:
        """The classes that a curve or a rate is given for: of two the last one, which says all; of more, each."""
        return [1] if len(self.classes) == 2 else list(range(len(self.classes)))

    @property
    def ranked(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Of each of `positives`: N booleans, is of the class, and N scores."""
        return {self.classes[k]: (self.truth == k, self.probabilities[:, k]) for k in self.positives}

    def counts(self, weights: np.ndarray) -> np.ndarray:
        """R×K×K, truth × prediction."""
        return confusion(self.truth, self.predicted, len(self.classes), weights)


def scored(table: pd.DataFrame, maps: None, truth: Truth, options: Options) -> pd.DataFrame:
    """`table` with thresholds that are chosen on the rows of the validation split alone. Of two classes: column
    threshold, and the last class is predicted where its probability is above it. Of more: threshold_<class>, of each
    class against the rest, and the most probable class is predicted.

    Raises:
        UserError: a rule of another task; prevalences of classes that there are not.
    """
    if options.operating_point.rule == "normal_quantile":
        raise UserError(
            "params.yaml: evaluate.operating_point.rule: normal_quantile is a rule of task anomaly. Task "
            f"classification has {', '.join(RULES)}."
        )
    import pandas as pd

    answers, validation = Answers(table), np.asarray(table["split"] == "val")
    shares = prevalences(options.prevalence, list(answers.ranked))
    chosen = {
        name: choose(score[validation], positive[validation], options.operating_point, HALF, shares[name]).threshold
        for name, (positive, score) in answers.ranked.items()
    }
    if len(answers.classes) > 2:
        return table.assign(**{f"{THRESHOLD}_{name}": threshold for name, threshold in chosen.items()})
    (threshold,) = chosen.values()
    called = (answers.probabilities[:, 1] > threshold).astype(int)
    predicted = pd.Categorical.from_codes(called, categories=answers.classes)
    return table.assign(**{"predicted": predicted, THRESHOLD: threshold})


def measures(table: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Each of METRICS, R values. `table`: N rows of predictions.parquet; `weights`: R×N, not negative."""
    answers, weights = Answers(table), weights.astype(np.float64)  # numpy multiplies matrices of equal types fast
    counts = answers.counts(weights)
    right, total = counts.diagonal(axis1=1, axis2=2), counts.sum(axis=(1, 2))
    mcc, kappa = agreement(counts)
    ranked = [of_ranking(ranking(*own, weights)) for own in answers.ranked.values()]
    values = {
        "balanced_accuracy": ratio(right, counts.sum(axis=2)).mean(axis=1),
        "accuracy": ratio(right.sum(axis=1), total),
        **{name: rates[:, answers.positives].mean(axis=1) for name, rates in class_rates(counts).items()},
        "ece": ece(answers.probabilities, answers.truth, weights),
        "mcc": mcc,
        "kappa": kappa,
        "brier": ratio(weights @ brier(answers.probabilities, answers.truth), total),
        "log_loss": ratio(weights @ log_loss(answers.probabilities, answers.truth), total),
        **{name: np.mean([own[name] for own in ranked], axis=0) for name in ranked[0]},
    }
    return {name: values[name] for name in METRICS}


def of_ranking(ranked: Ranking) -> dict[str, np.ndarray]:
    """The metrics that need no threshold, of one class against the rest, R values each."""
    return {
        "auroc": ranked.auroc(),
        "auprc": ranked.average_precision(),
        "sensitivity_at_90": ranked.sensitivity_at(0.90),
        "sensitivity_at_95": ranked.sensitivity_at(0.95),
        "specificity_at_90": ranked.specificity_at(0.90),
        "specificity_at_95": ranked.specificity_at(0.95),
    }


def squared_errors(answers: Answers) -> np.ndarray:
    """N×K: of the probability of each class."""
    return np.asarray((answers.probabilities - np.eye(len(answers.classes))[answers.truth]) ** 2)


def per_class(table: pd.DataFrame, weights: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """(class, metric) -> R values, each class against the rest: precision, recall, F1, support and what follows from
    the predicted class; the Brier score and the log loss of its probability. With more than two classes, also what
    needs no threshold: of two it is the same for both, and stands among the metrics."""
    answers, weights = Answers(table), weights.astype(np.float64)
    counts = answers.counts(weights)
    rates, total, truth = class_rates(counts), counts.sum(axis=(1, 2)), np.eye(len(answers.classes))[answers.truth]
    mcc, kappa = agreement(against_the_rest(counts))
    columns = {
        "precision": rates["ppv"], "recall": rates["sensitivity"], "f1": rates["f1"], "support": counts.sum(axis=2),
        "specificity": rates["specificity"], "npv": rates["npv"], "mcc": mcc, "kappa": kappa,
        "brier": ratio(weights @ squared_errors(answers), total[:, None]),
        "log_loss": ratio(weights @ surprise(np.abs(truth + answers.probabilities - 1)), total[:, None]),
    }  # fmt: skip
    values = {
        (name, metric): values[:, k] for k, name in enumerate(answers.classes) for metric, values in columns.items()
    }
    if len(answers.positives) > 1:
        for name, own in answers.ranked.items():
            values |= {(name, metric): each for metric, each in of_ranking(ranking(*own, weights)).items()}
    return values


def rated(table: pd.DataFrame) -> dict[Name, list[np.ndarray]]:
    """The images of each rate, N booleans: of every metric, and of every (class, metric)."""
    answers = Answers(table)
    truth, predicted = (
        codes == np.arange(len(answers.classes))[:, None] for codes in (answers.truth, answers.predicted)
    )
    of_class = {
        "sensitivity": truth, "specificity": ~truth, "ppv": predicted, "npv": ~predicted, "f1": truth | predicted,
        "auprc": truth, "sensitivity_at_90": truth, "sensitivity_at_95": truth, "specificity_at_90": ~truth,
        "specificity_at_95": ~truth,
    }  # fmt: skip
    parts: dict[Name, list[np.ndarray]] = {name: list(rows[answers.positives]) for name, rows in of_class.items()}
    all_images = [np.ones(len(table), dtype=bool)]
    parts |= {"auroc": list(truth), "balanced_accuracy": list(truth), "accuracy": all_images, "ece": all_images}
    for column, rows in {**of_class, "precision": predicted, "recall": truth}.items():
        parts |= {(label, column): [row] for label, row in zip(answers.classes, rows, strict=True)}
    return parts | {(label, "auroc"): [row, ~row] for label, row in zip(answers.classes, truth, strict=True)}


def one_class(table: pd.DataFrame) -> dict[str, Any] | None:
    """{"class", "share"} of what at least ONE_CLASS of the images are predicted to be, else None: such a model has not
    learned to tell the classes apart at its threshold, whatever its AUROC. Where nearly all images are of one class, so
    are right predictions: then less than half as many have to be predicted to be of another class as are of another."""
    shares = table["predicted"].astype(str).value_counts(normalize=True)
    if not len(shares) or shares.iloc[0] < ONE_CLASS:
        return None
    name, share = str(shares.index[0]), float(shares.iloc[0])
    others = float((table["label"].astype(str) != name).mean())
    return {"class": name, "share": share} if 1 - share < others / 2 else None


def against_the_rest(counts: np.ndarray) -> np.ndarray:
    """R×K×2×2 counts of each class, (rest, class) × (rest, class), from R×K×K confusion counts."""
    tp = counts.diagonal(axis1=1, axis2=2)
    fn, fp = counts.sum(axis=2) - tp, counts.sum(axis=1) - tp
    tn = counts.sum(axis=(1, 2))[:, None] - tp - fn - fp
    return np.stack([np.stack([tn, fp], axis=-1), np.stack([fn, tp], axis=-1)], axis=-2)


def class_rates(counts: np.ndarray) -> dict[str, np.ndarray]:
    """R×K values of each rate, every class against the rest, from R×K×K confusion counts."""
    (tn, fp), (fn, tp) = np.moveaxis(against_the_rest(counts), (-2, -1), (0, 1))
    return {
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "ppv": ratio(tp, tp + fp),
        "npv": ratio(tn, tn + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
    }


SECTIONS = ("operating_point", "calibration", "decision_curve", "conformal", "abstention", "uncertainty")
WATCHED = {"val_accuracy": "validation accuracy", "val_auroc": "validation AUROC"}
MEASURES = TaskMeasures(
    METRICS, measures, per_class, rated, one_class, Answers, CURVES, WATCHED, scored, sections=SECTIONS
)
