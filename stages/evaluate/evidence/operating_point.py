"""From which score on is an image called positive, and what follows? Chosen on validation, reported on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...shared.core.errors import UserError
from ...shared.core.judging import OperatingPoint
from ...shared.measures import MEASURES
from ...shared.measures.classification import HALF
from ...shared.measures.judge import estimates, number
from ...shared.measures.predictive import npv, ppv
from ...shared.measures.statistics import once, ratio
from ...shared.measures.threshold import RULES, Choice, choose, prevalences
from .evidence import Evidence
from .rates import Numbers, Rates

Place = tuple[str, str]
"""A positive class, and a rule."""
Ranked = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Of each positive class: N booleans, is of the class, and N scores."""


def of_classes(evidence: Evidence) -> dict[str, Any]:
    """Of classification: at every rule, and at a probability of 0.5."""
    return section(evidence, "classification", RULES, HALF)


def of_anomalies(evidence: Evidence) -> dict[str, Any]:
    """Of anomaly detection, whose scores are no probabilities."""
    return section(evidence, "anomaly", (*RULES, "normal_quantile"), None)


def section(evidence: Evidence, task: str, rules: Sequence[str], half: float | None) -> dict[str, Any]:
    """`rule` and its `settings`; `chosen_on`: images and patients. Then of the positive class, `class`, or, with more
    than two classes, below `per_class` of each against the rest: `positives` (validation images), the `prevalence` of
    PPV and NPV and whether it was `stated`, `threshold`, `fallback` (why the rule could not choose it, else null), the
    rates on the `validation` images, and those on the `test` images with intervals. `others`: the same at every other
    rule, and at `half`; a rule that has no threshold here says why in `fallback`, and has no rates."""
    settings, validation, answers = evidence.params.operating_point, evidence.validation, MEASURES[task].answers
    before, after = answers(validation).ranked, answers(evidence.test).ranked
    stated = prevalences(evidence.params.prevalence, list(after))
    chosen = {
        (name, rule): choice
        for name, own in before.items()
        for rule, choice in choices(own, settings, rules, half, stated[name]).items()
    }
    decided = {place: choice.threshold for place, choice in chosen.items() if np.isfinite(choice.threshold)}
    on_validation = Decisions(before, decided).rates(once(len(validation)))
    validated = {name: number(value[0]) for name, value in on_validation.items()}
    shares = {name: stated[name] or float(positive.mean()) for name, (positive, _) in after.items()}
    tested = with_intervals(Decisions(after, decided), evidence, shares)
    points = {}
    for name, share in shares.items():
        at = {
            rule: {
                "threshold": number(choice.threshold), "fallback": choice.reason or None,
                "validation": {metric: value for (*place, metric), value in validated.items() if place == [name, rule]},
                "test": tested.get((name, rule), {}),
            }
            for (of, rule), choice in chosen.items() if of == name
        }  # fmt: skip
        about = {"class": name, "positives": int(before[name][0].sum()), "prevalence": share}
        points[name] = {**about, "stated": stated[name] is not None, **at.pop(settings.rule), "others": at}
    chosen_on = {"images": len(validation), "patients": int(validation["patient"].nunique())}
    shared = {"rule": settings.rule, "settings": settings.model_dump(), "chosen_on": chosen_on}
    return {**shared, **next(iter(points.values()))} if len(points) == 1 else {**shared, "per_class": points}


def choices(
    own: tuple[np.ndarray, np.ndarray], settings: OperatingPoint, rules: Sequence[str], half: float | None,
    prevalence: float | None,
) -> dict[str, Choice]:  # fmt: skip
    """By rule. `own`: N booleans, is of the class, and N scores, of the validation images. Raises UserError where the
    rule of the settings has no threshold; another one may have none."""
    chosen: dict[str, Choice] = {}
    for rule in rules:
        try:
            each = settings.model_copy(update={"rule": rule})
            chosen[rule] = choose(own[1], own[0], each, half, prevalence)
        except UserError as error:
            if rule == settings.rule:
                raise
            chosen[rule] = Choice(np.nan, str(error))
    return chosen if half is None else {**chosen, f"{half:g}": Choice(half)}


class Decisions:
    """What is called positive at each place, by its threshold. Shapes: N images, P places, R draws."""

    def __init__(self, ranked: Ranked, decided: Mapping[Place, float]) -> None:
        self.of = {place: (ranked[place[0]][0], ranked[place[0]][1] > at) for place, at in decided.items()}
        self.parts = Rates(
            {
                name: rates
                for place, (truth, called) in self.of.items()
                for name, rates in {
                    (*place, "sensitivity"): [(called, truth)],
                    (*place, "specificity"): [(~called, ~truth)],
                    (*place, "balanced_accuracy"): [(called, truth), (~called, ~truth)],
                    (*place, "accuracy"): [(called == truth, np.ones(len(truth), bool))],
                }.items()
            }
        )
        pairs = list(self.of.values())
        self.hits = np.stack([truth & called for truth, called in pairs], axis=1).astype(np.float64)  # N×P
        self.errors = np.stack([truth != called for truth, called in pairs], axis=1).astype(np.float64)

    def rates(self, weights: np.ndarray) -> Numbers:
        """R values of each (class, rule, metric), from weights R×N."""
        weights = weights.astype(np.float64)
        twice = 2 * (weights @ self.hits)
        f1 = ratio(twice, twice + weights @ self.errors)
        return self.parts.of_draws(weights) | {(*place, "f1"): f1[:, p] for p, place in enumerate(self.of)}

    @property
    def rated(self) -> dict[tuple[Any, ...], list[np.ndarray]]:
        return self.parts.rated | {(*place, "f1"): [truth | called] for place, (truth, called) in self.of.items()}


def with_intervals(decisions: Decisions, evidence: Evidence, shares: Mapping[str, float]) -> dict[Place, Any]:
    """{metric: {value, low, high}} of each place, on the test images. PPV and NPV have the intervals that those of
    sensitivity and specificity give, since the prevalence is fixed."""
    groups = evidence.test["group"].to_numpy()
    estimated, _ = estimates(decisions.rates, groups, evidence.how, decisions.rated)
    tested: dict[Place, Any] = {}
    for name, rule in decisions.of:
        own = {metric: value for (*place, metric), value in estimated.items() if place == [name, rule]}
        both = own["sensitivity"], own["specificity"], shares[name]
        tested[name, rule] = {**own, "ppv": ppv(*both), "npv": npv(*both)}
    return tested
