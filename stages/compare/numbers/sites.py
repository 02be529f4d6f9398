"""Scores of each site apart: models that learned at one hospital, tested at each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ...shared.measures.measure import TaskMeasures
from ...shared.measures.statistics import once
from ..read import Member


def sites_of(index: pd.DataFrame) -> list[str]:
    """Of the test images, in order; empty where there are fewer than two."""
    if "site" not in index:
        return []
    names = sorted(index.loc[index["split"] == "test", "site"].dropna().unique())
    return names if len(names) > 1 else []


def by_site(members: Sequence[Member], index: pd.DataFrame, task: TaskMeasures, metric: str) -> list[dict[str, Any]]:
    """For each model: `trained` (the site its sample names, or all) and `scores`, the metric on the test images of each
    of `sites_of`."""
    names = sites_of(index)
    if not names:
        return []
    site_of = index.set_index("path")["site"]
    rows = []
    for m in members:
        sites = m.test["path"].map(site_of)
        parts = [m.test[sites == name] for name in names]
        scores = [float(task.compute(part, once(len(part)))[metric][0]) if len(part) else None for part in parts]
        trained = (m.summary.get("sample") or {}).get("site") or "all"
        rows.append({"key": m.key, "trained": trained, "scores": scores, "images": [len(part) for part in parts]})
    return rows
