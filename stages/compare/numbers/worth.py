"""How many images the baseline needs for what another strategy reaches: what pretraining is worth, in images.

Read off the baseline's learning curve: the power law fitted to it (power_law.py), where there is one, whose interval
covers the chance in the curve and in the strategy's mean. Otherwise the means of its sizes joined by straight lines
over the logarithm of the number of images, each no worse than the one before, with the ends of the interval of the
strategy's mean. Trainings at one site have a curve of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...shared.measures.measure import Measure
from .power_law import DRAWS, REACH, Curve


def worth(
    means: pd.DataFrame, baseline: str, measure: Measure, fitted: Sequence[Curve] = (),
    drawn: Callable[[int], np.ndarray] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row for each backbone, strategy and size: train_images, value, and `images`, `images_low`, `images_high`: of
    the baseline for the mean and for the ends of its interval. inf: more than `reach`; 0: fewer than its smallest size;
    NaN: the end is not defined. Empty where the baseline has a single size.

    `fitted`: the power laws of the study; `drawn`: row of `means` -> its value on each draw of the test patients."""
    sign, rows = 1 if measure.higher_is_better else -1, []
    of_baseline = {(curve.backbone, curve.site): curve for curve in fitted if curve.strategy == baseline}
    for (backbone, site), table in means.groupby(["backbone", "site"], sort=False):
        base = table[table["strategy"] == baseline].sort_values("train_images").dropna(subset="value")
        if base["train_images"].nunique() < 2:
            continue
        curve = np.maximum.accumulate(sign * base["value"].to_numpy(float))
        images = base["train_images"].to_numpy(float)
        law = of_baseline.get((str(backbone), str(site)))
        for at, row in table[table["strategy"] != baseline].sort_values("train_images").to_dict("index").items():
            shown = {name: row[name] for name in ("strategy", "sample", "train_images", "value")}
            shown |= {"backbone": backbone, "fitted": law is not None, "reach": images[-1] * (REACH if law else 1)}
            if law and drawn:
                estimates = law.needed_on(row["value"], drawn(int(at))[:DRAWS])
            else:
                ends = sorted(sign * row[name] for name in ("value_low", "value_high"))
                value, low, high = (needed(value, curve, images) for value in (sign * row["value"], *ends))
                estimates = value, low, high
            rows.append(shown | dict(zip(("images", "images_low", "images_high"), estimates, strict=True)))
    return rows


def needed(value: float, curve: np.ndarray, images: np.ndarray) -> float:
    """Where the curve first reaches the value."""
    if np.isnan(value):
        return np.nan
    if value <= curve[0]:
        return 0.0 if value < curve[0] else float(images[0])
    if value > curve[-1]:
        return np.inf
    at = int(np.searchsorted(curve, value))
    share = (value - curve[at - 1]) / (curve[at] - curve[at - 1])
    return float(np.exp(np.log(images[at - 1]) + share * np.log(images[at] / images[at - 1])))
