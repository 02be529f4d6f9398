"""How much of the first row's value is luck: it was chosen because it is the highest on these test images.

The draws repeat that choice. With e the chance in the test images and u that of a draw, a draw shows v + e + u of each
model, where the test images show v + e. On each draw the highest is chosen, and its u is what this choice flatters it
by. u and e are of one size (the bootstrap's premise), so v + e + u and v + e - u vary independently of each other
around the same v: the second judges the choice by the first without flattery, and the difference of the two is 2u.
The choice was made among values with the chance e + u, √2 times that of the test images; so the mean of 2u is divided
by √2. (This is the coupled bootstrap of Oliveira, Lei & Tibshirani 2021, with noise of the data's own size.)

With equal models this is what they gain on average. Where models differ by about as much as the chance, it is a little
too large.

An average says too little of one study, so the interval of the corrected value is no shifted one: its end on the
flattered side is the end of an interval that holds for all rows at once, whichever of them comes first
(`joint_probability`). Simulated in benchmarks/claims.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtri

from ...shared.measures.intervals import joint_probability
from .draws import Draws


def optimism(draws: Draws, rows: Sequence[int] | None = None) -> float:
    """What choosing the best of `rows` (all models) by its value adds to that value on average: 0 or more, in the
    metric's own unit, whichever way is better. NaN: not defined. A model chosen by other images has none."""
    sign = 1 if draws.measure.higher_is_better else -1
    at = [i for i in (range(len(draws.point)) if rows is None else rows) if np.isfinite(draws.point[i])]
    drawn = sign * draws.replicates[at]
    drawn = drawn[:, np.isfinite(drawn).any(axis=0)]
    if not drawn.size:
        return np.nan
    luck = drawn - np.nanmean(drawn, axis=1, keepdims=True)
    shown = np.where(np.isfinite(luck), sign * draws.point[at][:, None] + luck, -np.inf)
    flattery = luck[shown.argmax(axis=0), np.arange(drawn.shape[1])].mean()
    return float(max(2**0.5 * flattery, 0.0))


def widening(draws: Draws, rows: Sequence[int]) -> float:
    """By how much the interval of one row has to grow to hold for all of `rows` at once: 1 or more."""
    drawn = draws.replicates[list(rows)]
    alone = (1 + draws.level) / 2
    return float(ndtri(joint_probability([drawn], draws.level)) / ndtri(alone))


def table(board: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    """Of the first of all rows of the leaderboard, and of the first that is a model: `choice`, `key`, `rows` (how many
    it was chosen from), `value` with `value_low` and `value_high`, `optimism`, and `corrected` with its interval.
    `draws` are in the order of `board`."""
    rows = []
    for choice, at in (("all rows", np.arange(len(board))), ("models", np.flatnonzero(board["kind"] == "model"))):
        first, amount = board.iloc[at[0]], optimism(draws, at.tolist())
        value, low, high = (float(first[name]) for name in ("value", "value_low", "value_high"))
        factor = widening(draws, at.tolist())
        corrected = corrected_by(amount, value, low, high, factor, draws.measure.higher_is_better)
        own = {"value": value, "value_low": low, "value_high": high}
        rows.append({"choice": choice, "key": first["key"], "rows": len(at), **own, "optimism": amount, **corrected})
    return pd.DataFrame(rows)


def corrected_by(
    amount: float, value: float, low: float, high: float, factor: float, higher_is_better: bool
) -> dict[str, float]:
    """`corrected`, `corrected_low`, `corrected_high`. `factor`: of `widening`."""
    sign = 1 if higher_is_better else -1
    ends = [low - sign * amount, high - sign * amount]
    if higher_is_better:
        ends[0] = min(ends[0], value - factor * (value - low))
    else:
        ends[1] = max(ends[1], value + factor * (high - value))
    return {"corrected": value - sign * amount, "corrected_low": ends[0], "corrected_high": ends[1]}
