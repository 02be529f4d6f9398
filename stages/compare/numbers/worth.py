"""How many images the baseline needs for what another strategy reaches: what pretraining is worth, in images.

Read off the baseline's learning curve, the means of its sizes joined by straight lines over the logarithm of the number
of images, each no worse than the one before. Trainings at one site have a curve of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ...shared.measures.measure import Measure


def worth(means: pd.DataFrame, baseline: str, measure: Measure) -> list[dict[str, Any]]:
    """One row for each backbone, strategy and size: train_images, value, and `images`, `images_low`, `images_high`: of
    the baseline for the mean and for the ends of its interval. inf: more than its largest size; 0: fewer than its
    smallest; NaN: the end is not defined. Empty where the baseline has a single size."""
    sign, rows = 1 if measure.higher_is_better else -1, []
    for (backbone, _), table in means.groupby(["backbone", "site"], sort=False):
        base = table[table["strategy"] == baseline].sort_values("train_images").dropna(subset="value")
        if base["train_images"].nunique() < 2:
            continue
        curve = np.maximum.accumulate(sign * base["value"].to_numpy(float))
        images = base["train_images"].to_numpy(float)
        for row in table[table["strategy"] != baseline].sort_values("train_images").to_dict("records"):
            ends = sorted(sign * row[name] for name in ("value_low", "value_high"))
            of = {"images": sign * row["value"], "images_low": ends[0], "images_high": ends[1]}
            shown = {name: row[name] for name in ("strategy", "sample", "train_images", "value")}
            rows.append({"backbone": backbone, **shown} | {n: needed(v, curve, images) for n, v in of.items()})
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
