"""The leaderboard: one row per model, best first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ..read import Member, Missing
from .cost import prediction
from .draws import Draws
from .tiers import tiers

COST = ("parameters", "trainable_parameters", "epochs", "best_epoch", "seconds", "peak_memory_mb")


def leaderboard(members: Sequence[Member], draws: Draws, metric: str, metrics: Iterable[str]) -> pd.DataFrame:
    """Equal values in the order of the matrix.

    `value`, `value_low`, `value_high` are of the metric that decides, `val_value` is its value on the validation split;
    every metric has its columns as well. `kind`: a model, or neighbours that vote in the features of one. `chosen`: the
    model with the best `val_value`, the first of equals in the matrix; no other row, which no folder of models/ holds.
    `difference`: the model's value minus that of the first row; `tie`: the interval of that difference, simultaneous
    over all pairs of models, includes zero; `tier`: see tiers.py; `confidence`: the coverage of all intervals.
    `one_class` and `one_class_share`: the class that nearly all test images are predicted to be, if there is one, and
    their share.
    """
    table = pd.DataFrame([_row(m, metric, metrics) for m in members])
    better_first = {"ascending": not draws.measure.higher_is_better, "kind": "stable", "na_position": "last"}
    order = table["value"].sort_values(**better_first).index
    table[["difference", "difference_low", "difference_high"]] = draws.differences_to(order[0])
    table["tie"] = ~((table.difference_low > 0) | (table.difference_high < 0))  # unknown is a tie as well
    best_on_val = table.loc[table["kind"] == "model", "val_value"].sort_values(**better_first).index[0]
    table["chosen"] = (table.index == best_on_val) & table["val_value"].notna()
    table["confidence"] = draws.level
    tier = tiers(draws, order.tolist())
    table["metric"] = metric
    table = table.loc[order].reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    table.insert(2, "tier", pd.array([tier[i] for i in order], dtype="Int64"))
    return table


def _row(m: Member, metric: str, metrics: Iterable[str]) -> dict[str, object]:
    row: dict[str, object] = {
        "key": str(m.key), "backbone": m.key.backbone, "strategy": m.key.strategy, "sample": m.key.sample,
        "kind": m.kind,
        "train_images": m.summary.get("train_images"), "train_patients": m.summary.get("train_patients"),
    }  # fmt: skip
    for column, name in [*((name, name) for name in metrics), ("value", metric)]:
        row |= {column: m.value("test", name)}
        row |= {f"{column}_{end}": m.value("test", name, end) for end in ("low", "high")}
    row["val_value"] = m.value("val", metric)
    one_class = m.metrics["one_class"] or {}
    row |= {"one_class": one_class.get("class"), "one_class_share": one_class.get("share")}
    row |= {name: m.summary.get(name) for name in COST} | prediction(m)
    return {name: np.nan if value is None else value for name, value in row.items()}


def best_on_validation(board: pd.DataFrame) -> pd.Series | None:
    """The row of the model that validation chooses; None where no model has a validation value."""
    chosen = board[board["chosen"]]
    return None if chosen.empty else chosen.iloc[0]


def with_missing(board: pd.DataFrame, missing: Sequence[Missing]) -> pd.DataFrame:
    """The leaderboard for a file: `status` is complete, or missing in rows without numbers at the end; `missing_from`
    is the first stage that left nothing."""
    same = {"kind": "model", "status": "missing"}
    rows = [{**vars(m.key), "key": str(m.key), **same, "missing_from": m.stage} for m in missing]
    table = board.assign(status="complete", missing_from=None)
    if not rows:
        return table
    nullable = {"i": "Int64", "b": "boolean"}  # integers and flags beside empty cells
    whole = table.astype({name: nullable[kind.kind] for name, kind in table.dtypes.items() if kind.kind in nullable})
    return pd.concat([whole, pd.DataFrame(rows, columns=table.columns).astype(whole.dtypes)], ignore_index=True)


def for_file(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """`value_low` becomes `auroc_low`, and so on: in a file the metric that decides stands under its own name."""
    names = {name: "_".join(metric if part == "value" else part for part in name.split("_")) for name in table}
    twice = [name for name, own in names.items() if own != name and own in table]  # every metric has its columns
    return table.drop(columns=twice).rename(columns=names)
