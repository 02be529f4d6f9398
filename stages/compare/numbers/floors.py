"""Models against the floor: what the best prediction without a network reaches on the same patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...shared.measures.measure import TaskMeasures
from ..read import Floor, Member
from .draws import Contrast, draws_of


def reference(floors: Sequence[Floor], metric: str, task: TaskMeasures) -> Floor | None:
    """The floor with the best validation value, the first of equals: the test images have no part in the choice. None
    where no floor has one."""
    sign = 1 if task.metrics[metric].higher_is_better else -1
    values = [sign * floor.value("val", metric) for floor in floors]
    return floors[int(np.nanargmax(values))] if np.isfinite(values).any() else None


def above(members: Sequence[Member], floor: Floor, metric: str, task: TaskMeasures) -> pd.DataFrame:
    """One row per member, index `key`: the `difference` of its value and the floor's, `low` and `high` of an interval
    that holds for all of them at once, and `verdict`: better, worse or not shown to differ."""
    draws = draws_of([*members, floor], metric, task)
    intervals = draws.differences([Contrast([i], [len(members)]) for i in range(len(members))])
    rows = [
        {"key": str(m.key), "difference": d, "low": low, "high": high, "verdict": draws.verdict(low, high)}
        for m, (d, low, high) in zip(members, intervals, strict=True)
    ]
    return pd.DataFrame(rows).set_index("key")


def table(floors: Sequence[Floor], task: TaskMeasures, metric: str) -> pd.DataFrame:
    """One row per floor, the best test value first: what floor.json says of it, `value`, `val_value`, and every metric
    with low and high, as the leaderboard has them."""
    rows = []
    for floor in floors:
        row = {**floor.about, "val_value": floor.value("val", metric)}
        for column, name in [*((name, name) for name in task.metrics), ("value", metric)]:
            row |= {column: floor.value("test", name)}
            row |= {f"{column}_{end}": floor.value("test", name, end) for end in ("low", "high")}
        rows.append(row)
    if not rows:
        return pd.DataFrame()
    ascending = not task.metrics[metric].higher_is_better
    return pd.DataFrame(rows).sort_values("value", ascending=ascending, kind="stable", ignore_index=True)
