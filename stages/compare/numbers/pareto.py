"""What a better score costs: the models that no other beats in both score and cost, the Pareto front.

The front of the estimates is partly luck. So each model of it is compared with the last one before it, from the
cheapest on, that was itself shown to be worth its cost: where no difference is shown, the cheaper one is enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .cells import Cells


@dataclass(frozen=True)
class Cost:
    label: str
    unit: str = ""


COSTS = {
    "seconds": Cost("training time", "s"),
    "parameters": Cost("parameters"),
    "latency_1_ms": Cost("time for one image", "ms"),
}
SAME = 1.1
FRONT = [
    "cost", "backbone", "strategy", "sample", "train_images", "amount", "value", "value_low", "value_high", "seeds",
    "front", "against", "difference", "low", "high", "verdict",
]  # fmt: skip


def fronts(cells: Cells) -> pd.DataFrame:
    """For each cost that differs between cells, one row per cell, the cheapest first: `amount` of the cost; `front`: no
    other cell costs no more and scores no worse. Of cells on the front `against`: the cell it is compared with, and the
    `difference`, `low`, `high`, `verdict`; the cheapest has none. Cells without a value are left out."""
    known = cells.table.dropna(subset="value")
    tables = [_front(cells, name) for name in COSTS if name in known and _differs(known[name])]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=FRONT)


def _differs(amounts: pd.Series) -> bool:
    """By more than two runs of the same training take."""
    return bool(amounts.max() > SAME * amounts.min())


def _front(cells: Cells, cost: str) -> pd.DataFrame:
    sign = 1 if cells.draws.measure.higher_is_better else -1
    table = cells.table.assign(amount=cells.table[cost], cost=cost, score=sign * cells.table["value"])
    table = table.dropna(subset=["amount", "score"])
    table = table.sort_values(["amount", "score"], ascending=[True, False], kind="stable")
    highest = table["score"].cummax().shift(fill_value=-np.inf)
    table["front"] = table["score"] > highest
    table[["against", "difference", "low", "high", "verdict"]] = None
    reference, *others = on_front = list(table.index[table["front"]])
    compared = cells.differences([(a, b) for i, b in enumerate(on_front) for a in on_front[i + 1 :]])
    for at in others:
        own = compared.loc[(at, reference)]
        table.loc[at, ["difference", "low", "high", "verdict"]] = own
        table.loc[at, "against"] = name(cells.table.loc[reference])
        reference = at if own["verdict"] == "better" else reference
    return table[FRONT]


def name(row: pd.Series) -> str:
    return f"{row['strategy']} of {row['backbone']}, {row['sample']}"
