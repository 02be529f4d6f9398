"""What is watched while a model trains: metrics of the validation images."""

from __future__ import annotations

from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC


def watched(classes: int) -> MetricCollection:
    """Updated with (probabilities B×K, targets int64 B). The AUROC is exact: the mean over classes, one against the
    rest, of the area under the empirical curve."""
    metrics: dict[str, Metric | MetricCollection] = {
        "val_accuracy": MulticlassAccuracy(classes, average="micro", validate_args=False),
        "val_auroc": MulticlassAUROC(classes, validate_args=False),
    }
    return MetricCollection(metrics, compute_groups=False)
