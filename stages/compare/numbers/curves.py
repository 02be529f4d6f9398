"""What one model did: its history, threshold curves, confusion counts; tables of them over all models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ...shared.measures.measure import Curve
from ...shared.measures.statistics import once
from ..read import Member

Line = tuple[np.ndarray, np.ndarray]  # x, ascending, and y


def of_all(members: Sequence[Member], table_of: Callable[[Member], pd.DataFrame]) -> pd.DataFrame:
    """One long table of all models; the first columns name the model."""
    tables = []
    for m in members:
        names = {"model": str(m.key), "backbone": m.key.backbone, "strategy": m.key.strategy, "sample": m.key.sample}
        table = table_of(m)
        tables.append(table.assign(**names)[[*names, *table.columns]])
    return pd.concat(tables, ignore_index=True)


def lines(m: Member, curve: Curve) -> dict[str, Line]:
    """One line per class; of two classes, that of the last one; of anomalies, one."""
    return {name: curve.points(positive, score) for name, (positive, score) in m.answers.ranked.items()}


def table(m: Member, curve: Curve) -> pd.DataFrame:
    """Columns class and the two of the curve."""
    parts = [pd.DataFrame({"class": name, curve.x: x, curve.y: y}) for name, (x, y) in lines(m, curve).items()]
    return pd.concat(parts, ignore_index=True)


def mean_line(m: Member, curve: Curve) -> Line:
    """The mean height of the lines of the classes; every vertical rise stays vertical."""
    each = list(lines(m, curve).values())
    if len(each) == 1:
        return each[0]
    at = np.unique(np.concatenate([x for x, _ in each]))
    if curve.steps:
        return at, np.mean([y[np.searchsorted(x, at)] for x, y in each], axis=0)
    high = np.mean([np.interp(at, x, y) for x, y in each], axis=0)  # at a rise, interp takes its end
    low = np.mean([np.interp(-at, -x[::-1], y[::-1]) for x, y in each], axis=0)  # mirrored, its beginning
    return np.repeat(at, 2), np.stack([low, high], 1).ravel()


def prevalence(m: Member) -> float:
    """Share of the test images that are of the class whose curve is shown; several classes: the mean share."""
    return float(np.mean([np.mean(positive) for positive, _ in m.answers.ranked.values()]))


def confusion(m: Member) -> np.ndarray:
    """K×K counts of test images, truth × prediction."""
    return np.asarray(m.answers.counts(once(len(m.test)))[0], dtype=int)
