"""The learning rates that a plan came to."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .strategies import Plan


def plan_table(plan: Plan, base_lr: float, factors: Sequence[float]) -> pd.DataFrame:
    """Columns epoch (from 0), block, lr (NaN: frozen): what the plan came to.

    `factors`: of each epoch that was trained, the schedule's mean share of `base_lr`; fewer than planned when training
    stopped early.
    """
    if len(factors) > len(plan):
        raise ValueError(f"{len(factors)} factors for a plan of {len(plan)} epochs")
    rows = [
        (number, block, float("nan") if rate is None else base_lr * factor * rate)
        for number, (epoch, factor) in enumerate(zip(plan, factors, strict=False))
        for block, rate in epoch.items()
    ]
    return pd.DataFrame(rows, columns=["epoch", "block", "lr"])
