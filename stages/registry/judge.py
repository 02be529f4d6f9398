"""Is the candidate good enough to be the champion? From two tables of predictions to criteria.

Every criterion has to pass, each at level alpha: so a candidate that is worse by a whole margin in any of them passes
all with probability alpha at most, however many there are (intersection–union test, Berger 1982). Both models predicted
the same images, and the same patients are drawn for both, as compare does it.

Between two models the questions are tests. A floor is none: the value itself has to reach it, a value that is shown to
be below it fails, and one that may be either is undecided.

Shapes: N images, R draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..shared.core.errors import unknown
from ..shared.core.files import finite
from ..shared.core.paths import PARAMS
from ..shared.core.words import count
from ..shared.measures import MEASURES
from ..shared.measures.classification import Answers
from ..shared.measures.gaps import Score, gaps
from ..shared.measures.groupings import Grouping
from ..shared.measures.intervals import Support, draws, support
from ..shared.measures.judge import Resampling, estimates
from ..shared.measures.measure import Measure
from ..shared.measures.noninferiority import Difference, more, of_rates, of_scores, turned
from ..shared.measures.reliability import ece, expected_error, scored
from ..shared.measures.statistics import once
from .decision import Answer, Criterion, Estimate
from .params import Params

if TYPE_CHECKING:
    import pandas as pd

TASK = MEASURES["classification"]


@dataclass(frozen=True)
class Tested:
    """A model on the test images. `estimated`: {metric: {value, low, high}}. `drawn`: R values of each metric. `rated`:
    the images of each rate."""

    table: pd.DataFrame
    estimated: Mapping[str, Mapping[str, float | None]]
    drawn: Mapping[str, np.ndarray]
    rated: Mapping[Any, Sequence[np.ndarray]]

    def estimate(self, metric: str) -> Estimate:
        return Estimate.model_validate(dict(self.estimated[metric]))

    def score(self, metric: str) -> Score:
        value, clusters = self.estimated[metric]["value"], self.table["group"].to_numpy()
        rests_on = rests(self.rated.get(metric), clusters, TASK.metrics[metric])
        return Score(np.nan if value is None else value, self.drawn[metric], TASK.metrics[metric], rests_on)


def rests(parts: Sequence[np.ndarray] | None, clusters: np.ndarray, measure: Measure) -> Support | None:
    """None: the metric is no rate."""
    if not parts:
        return None
    rests_on = support(parts, clusters)
    return rests_on if measure.rate else replace(rests_on, images=np.inf)


@dataclass(frozen=True)
class Question:
    """What all criteria share. `metric`: the one that decides. `positives`: patients with an image of the positive
    class; of several classes, of the rarest. `how`: the draws, and a confidence of 1 − 2·alpha."""

    params: Params
    metric: str
    how: Resampling
    clusters: np.ndarray
    positives: int

    @property
    def patients(self) -> int:
        return len(np.unique(self.clusters))

    def needed(self, difference: Difference, answer: Answer, margin: float) -> int | None:
        if answer != "undecided":
            return None
        return more(difference.growth_needed(margin, self.params.alpha, self.params.power), self.positives)


def judge(
    candidate: pd.DataFrame, champion: pd.DataFrame | None, groupings: Sequence[Grouping], params: Params,
    metric: str, seed: int,
) -> list[Criterion]:  # fmt: skip
    """`candidate`, `champion`: predictions of the same N images in the same order: label, predicted, prob_<class>,
    calibrated_<class>, patient, group. None: there is no champion, and only floors are asked for.

    Raises:
        UserError: a metric that there is not.
    """
    for where, name in (("compare.sort_by", metric), *(("registry.floors", name) for name in params.floors)):
        if name not in TASK.metrics:
            raise unknown(f"{PARAMS}: {where}", name, TASK.metrics)
    clusters = candidate["group"].to_numpy()
    ask = Question(
        params, metric, Resampling(params.draws, 1 - 2 * params.alpha, seed), clusters, len(rarest(candidate))
    )
    if few := enough(ask, candidate):
        return [few]
    new = tested(candidate, ask)
    criteria: list[Criterion] = []
    if champion is not None:
        old = tested(champion, ask)
        criteria = [difference(ask, new, old), sensitivity(ask, new, old), *subgroups(ask, new, old, groupings)]
    return [*criteria, *(floor(ask, new, name, least) for name, least in params.floors.items()), calibration(ask, new)]


def tested(table: pd.DataFrame, ask: Question) -> Tested:
    rated = TASK.rated(table)
    estimated, drawn = estimates(
        lambda weights: TASK.compute(table, weights), ask.clusters, ask.how, rated, lambda name: TASK.metrics[name]
    )
    return Tested(table, estimated, drawn, rated)


def rarest(table: pd.DataFrame) -> np.ndarray:
    """Clusters with an image of the positive class; of more than two classes, of the class that has the fewest."""
    answers = Answers(table)
    of = [np.unique(table["group"].to_numpy()[answers.truth == k]) for k in answers.positives]
    return min(of, key=len)


def enough(ask: Question, table: pd.DataFrame) -> Criterion | None:
    """Undecided where a class has hardly any patients; None where all have enough."""
    answers, least = Answers(table), ask.params.min_patients
    for k, name in enumerate(answers.classes):
        there = len(np.unique(ask.clusters[answers.truth == k]))
        if there < least:
            missing = f"{count(there, 'test patient')} of class {name} can judge, and at least {least} are needed."
            needed = least - there if k in answers.positives else None
            return Criterion(name="patients", answer="undecided", sentence=missing, positives_needed=needed)
    return None


def difference(ask: Question, new: Tested, old: Tested) -> Criterion:
    """In the metric that decides."""
    metric, alpha = ask.metric, ask.params.alpha
    own = of_scores(new.score(metric), old.score(metric), alpha)
    ends = new.estimate(metric), old.estimate(metric)
    return compared(ask, f"difference in {TASK.metrics[metric].label}", own, ask.params.margin, *ends)


def sensitivity(ask: Question, new: Tested, old: Tested) -> Criterion:
    """At the operating point of each model; of more than two classes the mean over them."""
    name, alpha = "sensitivity", ask.params.alpha
    answers = [Answers(one.table) for one in (new, old)]
    if len(answers[0].classes) == 2:
        sick = answers[0].truth == 1
        own = of_rates(answers[0].right[sick], answers[1].right[sick], ask.clusters[sick], alpha)
    else:
        own = of_scores(new.score(name), old.score(name), alpha)
    ends = new.estimate(name), old.estimate(name)
    return compared(ask, "difference in sensitivity", own, ask.params.sensitivity_margin, *ends)


def compared(ask: Question, name: str, own: Difference, margin: float, new: Estimate, old: Estimate) -> Criterion:
    answer = own.answer(margin)
    between = f"{shown(new.value)} against {shown(old.value)}"
    interval = f"{signed(own.value)}, {signed(own.low)} to {signed(own.high)}"
    seems = "seems" if own.value < -margin else "may be"
    means = {
        "pass": "it is better" if own.low > 0 else f"it is not worse by {margin:g}",
        "fail": f"it is worse by more than {margin:g}" if margin else "it is worse",
        "undecided": f"it {seems} worse by {margin:g}: too few patients" if margin else "it is not shown to be better",
    }[answer]
    return Criterion(
        name=name, answer=answer, sentence=f"{between}: {interval}; {means}.", candidate=new, champion=old,
        difference=Estimate(value=finite(own.value), low=finite(own.low), high=finite(own.high)), bound=-margin,
        positives_needed=ask.needed(own, answer, margin),
    )  # fmt: skip


def subgroups(ask: Question, new: Tested, old: Tested, groupings: Sequence[Grouping]) -> list[Criterion]:
    """Fails where the candidate is shown to be worse in a group; groups are too small to show the opposite. The bounds
    hold for all groups at once. None where there are no groups to look at."""
    rows = {
        f"{column.title}: {name}": column.of == name
        for column in groupings
        for name in column.order
        if large_enough(new.table, column.of == name, ask.params.min_patients)
    }
    if not rows:
        return []
    measure, margin = TASK.metrics[ask.metric], ask.params.subgroup_margin
    pairs = {name: (in_group(ask, new, group), in_group(ask, old, group)) for name, group in rows.items()}
    found = {
        name: turned(own, measure, ask.params.alpha)
        for name, own in gaps(pairs, ask.how.confidence).items()
        if np.isfinite(own.low)
    }
    if not found:
        return []
    worse = {name: own for name, own in found.items() if own.high < -margin}
    name, lowest = min((worse or found).items(), key=lambda item: item[1].value)
    interval = f"{signed(lowest.value)} in “{name}”, {signed(lowest.low)} to {signed(lowest.high)}"
    if worse:
        sentence = f"It is worse by more than {margin:g} in {len(worse)} of {len(found)} groups: {interval}."
    else:
        sentence = f"In none of {len(found)} groups is it shown to be worse by {margin:g}; lowest: {interval}."
    return [
        Criterion(
            name=f"groups, by {measure.label}", answer="fail" if worse else "pass", sentence=sentence, bound=-margin,
            difference=Estimate(value=finite(lowest.value), low=finite(lowest.low), high=finite(lowest.high)),
        )
    ]  # fmt: skip


def in_group(ask: Question, one: Tested, rows: np.ndarray) -> Score:
    """The metric on these images alone, on the same draws of all patients."""
    table = one.table[rows]

    def values(weights: np.ndarray) -> np.ndarray:
        return TASK.compute(table, weights)[ask.metric]

    drawn = [values(weights[:, rows]) for weights in draws(ask.clusters, ask.how.bootstrap, ask.how.seed)]
    measure = TASK.metrics[ask.metric]
    rests_on = rests(TASK.rated(table).get(ask.metric), ask.clusters[rows], measure)
    return Score(float(values(once(len(table)))[0]), np.concatenate(drawn), measure, rests_on)


def large_enough(table: pd.DataFrame, rows: np.ndarray, least: int) -> bool:
    """Patients enough, and of every class some."""
    own = table[rows]
    return bool(own["group"].nunique() >= least and own["label"].nunique() == table["label"].nunique())


def floor(ask: Question, new: Tested, name: str, least: float) -> Criterion:
    measure, own = TASK.metrics[name], new.estimate(name)
    at_least = measure.higher_is_better
    sign, end = (1, own.high) if at_least else (-1, own.low)
    if own.value is None:
        answer: Answer = "undecided"
    elif sign * (own.value - least) >= 0:
        answer = "pass"
    else:
        answer = "fail" if end is not None and sign * (end - least) < 0 else "undecided"
    words = "at least" if at_least else "at most"
    sentence = f"{shown(own.value)}, {shown(own.low)} to {shown(own.high)}; it has to be {words} {least:g}."
    return Criterion(name=f"{measure.label} alone", answer=answer, sentence=sentence, candidate=own, bound=least)


def calibration(ask: Question, new: Tested) -> Criterion:
    """The error of the calibrated probabilities beyond the one of a perfect model."""
    answers, measure = Answers(new.table), TASK.metrics["ece"]
    everything = [np.ones(len(new.table), dtype=bool)]
    estimated, _ = estimates(
        lambda weights: {"ece": ece(answers.calibrated, answers.truth, weights)}, ask.clusters, ask.how,
        {"ece": everything}, lambda _: measure,
    )  # fmt: skip
    own = Estimate.model_validate(estimated["ece"])
    score, _ = scored(answers.calibrated, answers.truth)
    chance, limit = expected_error(score, ask.how.seed), ask.params.calibration
    value, low = (np.nan if end is None else end - chance for end in (own.value, own.low))
    answer: Answer = "pass" if value <= limit else "fail" if low > limit else "undecided"
    sentence = f"{shown(own.value)}; chance alone gives {chance:.3f} on so few images, and {limit:g} more is allowed."
    return Criterion(name=measure.label, answer=answer, sentence=sentence, candidate=own, bound=chance + limit)


def shown(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    return "not known" if value is None or not np.isfinite(value) else f"{value:+.3f}".replace("-", "−")
