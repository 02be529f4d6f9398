"""What one model did: training history, ROC curve, confusion counts; and tables of them over all models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...shared.measures import statistics
from ...shared.measures.classification import shown_classes
from ..read import Member


def histories(members: Sequence[Member]) -> pd.DataFrame:
    """Every epoch of every model, one long table."""
    return pd.concat([_named(m, m.history) for m in members], ignore_index=True)


def roc(m: Member) -> pd.DataFrame:
    """Columns class, fpr, tpr: one curve per class (two classes: the last one's), corners only."""
    curves = []
    for k in shown_classes(m.classes):
        fpr, tpr = statistics.roc_curve(m.truth == k, m.probabilities[:, k])
        curves.append(pd.DataFrame({"class": m.classes[k], "fpr": fpr, "tpr": tpr}))
    return pd.concat(curves, ignore_index=True)


def rocs(members: Sequence[Member]) -> pd.DataFrame:
    return pd.concat([_named(m, roc(m)) for m in members], ignore_index=True)


def confusion(m: Member) -> np.ndarray:
    """K×K counts, truth × prediction."""
    (counts,) = statistics.confusion(m.truth, m.predicted, len(m.classes), statistics.once(len(m.truth)))
    return np.asarray(counts, dtype=int)


def _named(m: Member, table: pd.DataFrame) -> pd.DataFrame:
    names = {"model": str(m.key), "backbone": m.key.backbone, "strategy": m.key.strategy, "sample": m.key.sample}
    return table.assign(**names)[[*names, *table.columns]]
