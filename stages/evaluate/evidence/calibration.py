"""Can a probability be taken at its word? Before and after calibration on the validation images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...shared.core.task import CALIBRATED
from ...shared.measures.calibration import Calibration, fit, log_odds, positives
from ...shared.measures.classification import Answers
from ...shared.measures.judge import estimates
from ...shared.measures.measure import Measure
from ...shared.measures.reliability import (
    BINS,
    brier,
    calibration_error,
    equal_size,
    equal_width,
    expected_error,
    gaps,
    line,
    log_loss,
    scored,
)
from ...shared.measures.statistics import ratio
from .evidence import Evidence

Numbers = dict[tuple[Any, ...], np.ndarray]
MEANS = Measure("", "", rate=False)  # over images, of something between 0 and 1
ANY = Measure("", "", spread=None)


def fitted(evidence: Evidence) -> Calibration:
    answers = Answers(evidence.validation)
    return fit(evidence.params.calibration, answers.log_probabilities, answers.truth)


def columns(evidence: Evidence) -> pd.DataFrame:
    """calibrated_<class> of every image."""
    answers = Answers(evidence.table)
    calibrated = fitted(evidence).apply(answers.log_probabilities)
    return pd.DataFrame(calibrated, evidence.table.index, [CALIBRATED + name for name in answers.classes])


def file(evidence: Evidence) -> dict[str, Any]:
    """calibration.json: what is needed to calibrate other probabilities of this model."""
    own = fitted(evidence)
    return {
        "asked": evidence.params.calibration, "method": own.method, "reason": own.reason, "images": own.images,
        "classes": Answers(evidence.validation).classes, **own.parameters,
    }  # fmt: skip


def section(evidence: Evidence) -> dict[str, Any]:
    """`before` and `after`: ece, ece_adaptive, brier, log_loss, and `bins`, those of the ECE. `change`: after minus
    before. `per_class`: {class: {before | after: {slope, intercept, in_the_large}}}. `of`: the class whose probability
    the ECE is about; null: the most probable one. `expected_ece`: that of a perfect model with as many images."""
    answers, own, clusters = Answers(evidence.test), fitted(evidence), evidence.test["group"].to_numpy()
    states = {
        name: State(probabilities, answers.truth)
        for name, probabilities in (("before", answers.probabilities), ("after", answers.calibrated))
    }

    columns = np.concatenate([np.ones((len(clusters), 1)), *(state.columns for state in states.values())], axis=1)
    ends = np.cumsum([1, *(state.columns.shape[1] for state in states.values())])

    def compute(weights: np.ndarray) -> Numbers:
        sums = weights.astype(np.float64) @ columns
        own = {
            name: state.numbers(sums[:, 0], sums[:, start:end])
            for (name, state), start, end in zip(states.items(), ends[:-1], ends[1:], strict=True)
        }
        changes = {("change", n): own["after"][n,] - own["before"][n,] for n in ("ece", "brier", "log_loss")}
        return {(name, *rest): value for name, values in own.items() for rest, value in values.items()} | changes

    rated = {(name, *rest): rows for name, state in states.items() for rest, rows in state.rated().items()}
    estimated, _ = estimates(compute, clusters, evidence.how, rated, lambda name: MEANS if name in rated else ANY)
    change = {name[1]: value for name, value in estimated.items() if name[0] == "change"}
    return {
        "method": own.method, "reason": own.reason, "parameters": dict(own.parameters), "images": own.images,
        "of": answers.classes[1] if len(answers.classes) == 2 else None,
        "expected_ece": expected_error(states["before"].score, evidence.params.seed), "change": change,
        **{name: state.described(name, estimated) for name, state in states.items()},
        "per_class": {
            answers.classes[k]: {
                name: {each: estimated[name, each, k] for each in ("slope", "intercept", "in_the_large")}
                for name in states
            }
            for k in answers.positives
        },
    }  # fmt: skip


class State:
    """Probabilities N×K as they are before or after calibration. All its numbers come from sums over the images of a
    draw, so that one product of matrices gives them for all draws."""

    def __init__(self, probabilities: np.ndarray, truth: np.ndarray) -> None:
        self.classes = probabilities.shape[1]
        self.score, outcome = scored(probabilities, truth)
        bins = equal_width(self.score)
        self.bins = np.unique(bins).tolist()
        self.inside = (bins[:, None] == self.bins).T  # B×N
        odds = log_odds(np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)))
        self.lines = {k: line(own, truth == k) for k, own in zip(positives(probabilities), odds, strict=True)}
        self.parts = {
            "ece": gaps(self.score, outcome, bins),
            "ece_adaptive": gaps(self.score, outcome, equal_size(self.score)),
            "brier": brier(probabilities, truth)[:, None],
            "log_loss": log_loss(probabilities, truth)[:, None],
            "images": self.inside.T.astype(np.float64),
            "outcomes": (self.inside * outcome).T.astype(np.float64),
        }
        for (k, own), z in zip(self.lines.items(), odds, strict=True):
            self.parts[f"line_{k}"] = own.columns(z, truth == k)
            self.parts[f"in_the_large_{k}"] = ((truth == k) - probabilities[:, k])[:, None]

    @property
    def columns(self) -> np.ndarray:
        """N×C."""
        return np.concatenate(list(self.parts.values()), axis=1)

    def numbers(self, total: np.ndarray, sums: np.ndarray) -> Numbers:
        """`total`: R sums of weights. `sums`: R×C, of `columns`."""
        ends = np.cumsum([part.shape[1] for part in self.parts.values()])
        of = dict(zip(self.parts, np.split(sums, ends[:-1], axis=1), strict=True))
        values: Numbers = {(name,): calibration_error(of[name], total) for name in ("ece", "ece_adaptive")}
        values |= {(name,): of[name][:, 0] / total for name in ("brier", "log_loss")}
        shares = ratio(of["outcomes"], of["images"])
        values |= {("bin", b): shares[:, i] for i, b in enumerate(self.bins)}
        for k, own in self.lines.items():
            values["slope", k], values["intercept", k] = own.drawn(of[f"line_{k}"])
            values["in_the_large", k] = of[f"in_the_large_{k}"][:, 0] / total
        return values

    def rated(self) -> dict[tuple[Any, ...], list[np.ndarray]]:
        """The images that the numbers between 0 and 1 are means of."""
        whole = [np.ones(len(self.score), dtype=bool)]
        names = ["ece", "ece_adaptive", *(["brier"] if self.classes == 2 else [])]
        bins = {("bin", b): [inside] for b, inside in zip(self.bins, self.inside, strict=True)}
        return {**{(name,): whole for name in names}, **bins}

    def described(self, name: str, estimated: Mapping[tuple[Any, ...], Any]) -> dict[str, Any]:
        bins = [
            {
                "from": b / BINS, "to": (b + 1) / BINS, "images": int(inside.sum()),
                "score": float(self.score[inside].mean()), "outcome": estimated[name, "bin", b],
            }
            for b, inside in zip(self.bins, self.inside, strict=True)
        ]  # fmt: skip
        return {**{each: estimated[name, each] for each in ("ece", "ece_adaptive", "brier", "log_loss")}, "bins": bins}
