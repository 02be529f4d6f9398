"""Scores of each site apart: models that learned at one hospital, tested at each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """For each model: `trained` (the sites of its sample), `scores`, the metric on the test images of each of
    `sites_of`, and `new`, whether it never saw an image of that site."""
    names = sites_of(index)
    if not names:
        return []
    site_of = index.set_index("path")["site"]
    rows = []
    for m in members:
        sites = m.test["path"].map(site_of)
        parts = [m.test[sites == name] for name in names]
        scores = [float(task.compute(part, once(len(part)))[metric][0]) if len(part) else None for part in parts]
        new = [name not in seen(m.summary.get("sample") or {}, names) for name in names]
        trained = trained_at(m.summary.get("sample") or {}) or "all"
        images = [len(part) for part in parts]
        rows.append({"key": m.key, "trained": trained, "scores": scores, "images": images, "new": new})
    return rows


def trained_at(sample: Mapping[str, Any]) -> str:
    """The sites of a sample in words; empty: all. An older summary.json has no sites."""
    if left_out := sample.get("leave_out"):
        return f"all but {left_out}"
    return sample.get("site") or ""


def seen(sample: Mapping[str, Any], sites: Sequence[str]) -> list[str]:
    """Those of `sites` that a sample trains on."""
    if site := sample.get("site"):
        return [site]
    return [name for name in sites if name != sample.get("leave_out")]
