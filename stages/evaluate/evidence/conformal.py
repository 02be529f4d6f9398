"""Which classes cannot be ruled out? Sets of them, and how often they contain the true one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from ...shared.core.task import IN_SET
from ...shared.measures.classification import Answers
from ...shared.measures.conformal import SCORES, limits
from ...shared.measures.judge import estimates
from ...shared.measures.measure import Measure
from .evidence import Evidence
from .rates import Numbers, Rate, Rates

RATE, SIZE = Measure("", ""), Measure("", "", spread=None)


def chosen_limits(evidence: Evidence, by_class: bool) -> np.ndarray:
    """K limits from the validation images. The probabilities are those before calibration, so that these images chose
    nothing else but the epoch."""
    settings, answers = evidence.params.conformal, Answers(evidence.validation)
    return limits(SCORES[settings.score](answers.probabilities), answers.truth, settings.coverage, by_class)


def sets(evidence: Evidence, table: pd.DataFrame, by_class: bool) -> np.ndarray:
    """N×K booleans."""
    scores = SCORES[evidence.params.conformal.score](Answers(table).probabilities)
    return np.asarray(scores <= chosen_limits(evidence, by_class))


def columns(evidence: Evidence) -> pd.DataFrame:
    """in_set_<class> of every image. Of a validation image it says little: it chose the limits."""
    inside = sets(evidence, evidence.table, evidence.params.conformal.per_class)
    names = [IN_SET + name for name in Answers(evidence.table).classes]
    return pd.DataFrame(inside, evidence.table.index, names)


def section(evidence: Evidence) -> dict[str, Any]:
    """`together`, `by_class`: with one limit, and with one for each class: coverage, size, single (share of sets with
    one class), right_if_single, empty, per_class coverage, limits, and `always`, classes that are in every set because
    they have too few validation images. `used`: whose sets predictions.parquet has."""
    answers, settings = Answers(evidence.test), evidence.params.conformal
    kinds = {"together": False, "by_class": True}
    inside = {kind: sets(evidence, evidence.test, by_class) for kind, by_class in kinds.items()}
    rows, everything = np.arange(len(answers.truth)), np.ones(len(answers.truth), bool)
    right = {kind: own[rows, answers.truth] for kind, own in inside.items()}
    parts: dict[tuple[Any, ...], list[Rate]] = {}
    for kind, own in inside.items():
        size = own.sum(axis=1)
        parts |= {
            (kind, "coverage"): [(right[kind], everything)], (kind, "single"): [(size == 1, everything)],
            (kind, "empty"): [(size == 0, everything)], (kind, "right_if_single"): [(right[kind], size == 1)],
        }  # fmt: skip
        parts |= {(kind, "per_class", n): [(right[kind], answers.truth == k)] for k, n in enumerate(answers.classes)}
    rates, sizes = Rates(parts), np.stack([own.sum(axis=1) for own in inside.values()], axis=1).astype(np.float64)

    def compute(weights: np.ndarray) -> Numbers:
        weights = weights.astype(np.float64)
        means = weights @ sizes / weights.sum(axis=1, keepdims=True)
        return rates.of_draws(weights) | {(kind, "size"): means[:, i] for i, kind in enumerate(inside)}

    estimated, _ = estimates(
        compute, evidence.test["group"].to_numpy(), evidence.how, rates.rated,
        lambda name: SIZE if name[1] == "size" else RATE,
    )  # fmt: skip
    described = {}
    for kind, by_class in kinds.items():
        own_limits = chosen_limits(evidence, by_class)
        described[kind] = {
            **{name: estimated[kind, name] for name in ("coverage", "size", "single", "right_if_single", "empty")},
            "per_class": {name: estimated[kind, "per_class", name] for name in answers.classes},
            "limits": [None if math.isinf(value) else float(value) for value in own_limits],
            "always": [name for name, value in zip(answers.classes, own_limits, strict=True) if math.isinf(value)],
        }
    return {
        "promised": settings.coverage, "score": settings.score, "images": len(evidence.validation),
        "used": "by_class" if settings.per_class else "together", **described,
    }  # fmt: skip
