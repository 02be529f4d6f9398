"""The metrics of classification, from a table of predictions.

In a binary problem, sensitivity, specificity, PPV, NPV, F1, AUROC and AUPRC are of the last class, the positive one;
with more classes they are means over the classes, each against the rest (macro). scikit-learn, with `sample_weight`,
is the reference in the tests. Where a draw leaves a ratio without a denominator the value is NaN.

Shapes: N images, K classes, R draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .measure import Measure, TaskMeasures
from .statistics import auroc, average_precision, confusion, ratio

if TYPE_CHECKING:
    import pandas as pd

PROBABILITY = "prob_"  # and the name of the class: columns of predictions.parquet

METRICS = {
    "auroc": Measure("AUROC", "AUROC", headline=True, chance=0.5),
    "auprc": Measure("AUPRC", "AUPRC"),
    "balanced_accuracy": Measure("balanced accuracy", "bal.acc", headline=True),
    "accuracy": Measure("accuracy", "acc"),
    "sensitivity": Measure("sensitivity", "sens", headline=True),
    "specificity": Measure("specificity", "spec", headline=True),
    "ppv": Measure("PPV", "PPV"),
    "npv": Measure("NPV", "NPV"),
    "f1": Measure("F1", "F1"),
}


def classes_of(table: pd.DataFrame) -> list[str]:
    """In the order of the model's outputs."""
    return [name.removeprefix(PROBABILITY) for name in table if str(name).startswith(PROBABILITY)]


def codes(labels: pd.Series, classes: Sequence[str]) -> np.ndarray:
    """N class numbers. Raises KeyError for a label that is no class."""
    numbers = {name: k for k, name in enumerate(classes)}
    return np.array([numbers[label] for label in labels.astype(str)], dtype=np.int64)


def probabilities(table: pd.DataFrame) -> np.ndarray:
    """N×K."""
    return np.asarray(table[[f"{PROBABILITY}{name}" for name in classes_of(table)]], dtype=np.float64)


def shown_classes(classes: Sequence[str]) -> list[int]:
    """The classes that a curve or a rate is given for: of two the last one, which says all; of more, each."""
    return [1] if len(classes) == 2 else list(range(len(classes)))


def measures(table: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Each of METRICS, R values. `table`: N rows of predictions.parquet; `weights`: R×N, not negative."""
    classes, scores = classes_of(table), probabilities(table)
    targets, counts = codes(table["label"], classes), counts_of(table, weights)
    positives = shown_classes(classes)
    rates = {name: values[:, positives].mean(axis=1) for name, values in class_rates(counts).items()}
    right = counts.diagonal(axis1=1, axis2=2)
    values = {
        "auroc": np.mean([auroc(targets == k, scores[:, k], weights) for k in positives], axis=0),
        "auprc": np.mean([average_precision(targets == k, scores[:, k], weights) for k in positives], axis=0),
        "balanced_accuracy": ratio(right, counts.sum(axis=2)).mean(axis=1),
        "accuracy": ratio(right.sum(axis=1), counts.sum(axis=(1, 2))),
        **rates,
    }
    return {name: values[name] for name in METRICS}


def per_class(table: pd.DataFrame, weights: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """(class, precision | recall | f1 | support) -> R values, each class against the rest."""
    counts = counts_of(table, weights)
    rates = class_rates(counts)
    columns = {"precision": rates["ppv"], "recall": rates["sensitivity"], "f1": rates["f1"], "support": counts.sum(2)}
    return {
        (name, metric): values[:, k] for k, name in enumerate(classes_of(table)) for metric, values in columns.items()
    }


def counts_of(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """R×K×K, truth × prediction."""
    classes = classes_of(table)
    return confusion(codes(table["label"], classes), codes(table["predicted"], classes), len(classes), weights)


def class_rates(counts: np.ndarray) -> dict[str, np.ndarray]:
    """R×K values of each rate, every class against the rest, from R×K×K confusion counts."""
    tp = counts.diagonal(axis1=1, axis2=2)
    fn, fp = counts.sum(axis=2) - tp, counts.sum(axis=1) - tp
    tn = counts.sum(axis=(1, 2))[:, None] - tp - fn - fp
    return {
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "ppv": ratio(tp, tp + fp),
        "npv": ratio(tn, tn + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
    }


MEASURES = TaskMeasures(METRICS, measures, per_class)
