"""What one model did: history, ROC and precision–recall curves, confusion counts; tables of them over all models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ...shared.measures import statistics
from ...shared.measures.classification import shown_classes
from ..read import Member

Curve = tuple[np.ndarray, np.ndarray]  # x, y


def histories(members: Sequence[Member]) -> pd.DataFrame:
    """Every epoch of every model, one long table."""
    return pd.concat([_named(m, m.history) for m in members], ignore_index=True)


def roc(m: Member) -> pd.DataFrame:
    """Columns class, fpr, tpr: one curve per class (two classes: the last one's), corners only."""
    return _per_class(m, statistics.roc_curve, "fpr", "tpr")


def rocs(members: Sequence[Member]) -> pd.DataFrame:
    return pd.concat([_named(m, roc(m)) for m in members], ignore_index=True)


def precision_recall(m: Member) -> pd.DataFrame:
    """Columns class, recall, precision: one curve per class (two classes: the last one's)."""
    return _per_class(m, statistics.precision_recall_curve, "recall", "precision")


def _per_class(m: Member, curve: Callable[[np.ndarray, np.ndarray], Curve], x: str, y: str) -> pd.DataFrame:
    curves = {m.classes[k]: curve(m.truth == k, m.probabilities[:, k]) for k in shown_classes(m.classes)}
    tables = [pd.DataFrame({"class": name, x: across, y: up}) for name, (across, up) in curves.items()]
    return pd.concat(tables, ignore_index=True)


def mean_roc(m: Member) -> Curve:
    """(fpr, tpr); several classes: the mean height of their curves, with every vertical rise kept vertical."""
    curves = [(rows.fpr.to_numpy(), rows.tpr.to_numpy()) for _, rows in roc(m).groupby("class", sort=False)]
    if len(curves) == 1:
        return curves[0]
    at = np.unique(np.concatenate([fpr for fpr, _ in curves]))
    high = np.mean([np.interp(at, fpr, tpr) for fpr, tpr in curves], axis=0)  # at a rise, interp takes its end
    low = np.mean([np.interp(-at, -fpr[::-1], tpr[::-1]) for fpr, tpr in curves], axis=0)  # mirrored, its beginning
    return np.repeat(at, 2), np.stack([low, high], 1).ravel()


def mean_precision_recall(m: Member) -> Curve:
    """(recall, precision), steps that end at each recall; several classes: the mean height of their curves."""
    groups = precision_recall(m).groupby("class", sort=False)
    curves = [(rows.recall.to_numpy(), rows.precision.to_numpy()) for _, rows in groups]
    at = np.unique(np.concatenate([recall for recall, _ in curves]))
    return at, np.mean([precision[np.searchsorted(recall, at)] for recall, precision in curves], axis=0)


def prevalence(m: Member) -> float:
    """Share of the test images that are of the class whose curve is shown; several classes: the mean share."""
    return float(np.mean([np.mean(m.truth == k) for k in shown_classes(m.classes)]))


def confusion(m: Member) -> np.ndarray:
    """K×K counts, truth × prediction."""
    (counts,) = statistics.confusion(m.truth, m.predicted, len(m.classes), statistics.once(len(m.truth)))
    return np.asarray(counts, dtype=int)


def _named(m: Member, table: pd.DataFrame) -> pd.DataFrame:
    names = {"model": str(m.key), "backbone": m.key.backbone, "strategy": m.key.strategy, "sample": m.key.sample}
    return table.assign(**names)[[*names, *table.columns]]
