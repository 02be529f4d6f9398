"""Would acting on the calibrated probability help more than treating all, or none?"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np

from ...shared.measures.benefit import terms, worth
from ...shared.measures.classification import Answers
from ...shared.measures.judge import estimates
from ...shared.measures.measure import Measure
from .evidence import Evidence

THRESHOLDS = np.arange(2, 100, 2) / 100
NET_BENEFIT = Measure("", "", spread=None)


def section(evidence: Evidence) -> dict[str, Any]:
    """`thresholds`; `per_class`: of the positive class, or of each against the rest: net_benefit, treat_all and gain
    over the better of treating all and none, as lists of {value, low, high}; `useful`: [from, to] of the thresholds
    where the whole interval of the gain is above 0."""
    answers, clusters = Answers(evidence.test), evidence.test["group"].to_numpy()
    curves = {answers.classes[k]: (answers.truth == k, answers.calibrated[:, k]) for k in answers.positives}
    columns = np.concatenate(
        [part for own in curves.values() for part in (terms(*own, THRESHOLDS), worth(own[0], THRESHOLDS))], axis=1
    )

    def compute(weights: np.ndarray) -> dict[tuple[str, str, int], np.ndarray]:
        means = weights.astype(np.float64) @ columns / weights.sum(axis=1, keepdims=True)
        parts = means.reshape(len(weights), len(curves), 2, len(THRESHOLDS))
        values: dict[tuple[str, str, int], np.ndarray] = {}
        for i, name in enumerate(curves):
            model, everyone = parts[:, i, 0], parts[:, i, 1]
            gain = model - np.maximum(everyone, 0)
            for each, own in (("net_benefit", model), ("treat_all", everyone), ("gain", gain)):
                values |= {(name, each, t): own[:, t] for t in range(len(THRESHOLDS))}
        return values

    estimated, _ = estimates(compute, clusters, evidence.how, measure_of=lambda name: NET_BENEFIT)
    per_class: dict[str, dict[str, Any]] = {}
    for (name, each, _t), value in estimated.items():
        per_class.setdefault(name, {}).setdefault(each, []).append(value)
    for own in per_class.values():
        own["useful"] = useful(own["gain"])
    return {"thresholds": THRESHOLDS.tolist(), "per_class": per_class}


def useful(gain: list[Mapping[str, float]]) -> list[list[float]]:
    """[from, to] of each run of thresholds with a gain."""
    runs = groupby(zip(THRESHOLDS.tolist(), gain, strict=True), key=lambda each: each[1]["low"] > 0)
    thresholds = [[t for t, _ in run] for better, run in runs if better]
    return [[run[0], run[-1]] for run in thresholds]
