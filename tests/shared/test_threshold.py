"""Rules that choose a threshold, by brute force; PPV and NPV at a prevalence."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from stages.shared.core.errors import UserError
from stages.shared.core.judging import OperatingPoint
from stages.shared.measures.intervals import binomial_spread, score_interval
from stages.shared.measures.predictive import likelihood_ratio, npv, ppv
from stages.shared.measures.threshold import choose, prevalences

SCORES = np.array([0.05, 0.1, 0.2, 0.3, 0.3, 0.4, 0.6, 0.7, 0.8, 0.95])
POSITIVE = np.array([0, 0, 1, 0, 1, 0, 0, 1, 1, 1], dtype=bool)


def rates(score: np.ndarray, positive: np.ndarray, threshold: float) -> tuple[float, float]:
    tn, fp, fn, tp = confusion_matrix(positive, score > threshold, labels=[False, True]).ravel()
    return tp / (tp + fn), tn / (tn + fp)


def every_cut(score: np.ndarray, positive: np.ndarray) -> list[tuple[float, float]]:
    return [rates(score, positive, at) for at in [*np.unique(score), score.min() - 1]]


def samples(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The first has skill; the others have none, and many ties."""
    rng = np.random.default_rng(0)
    return [(SCORES, POSITIVE), *((np.round(rng.random(60), 1), rng.random(60) < 0.4) for _ in range(count))]


@pytest.mark.parametrize(("score", "positive"), samples(12))
def test_each_rule_is_the_best_of_all_cuts(score, positive):
    every, at = every_cut(score, positive), {}
    for rule in ("youden", "sensitivity", "specificity"):
        settings = OperatingPoint(rule=rule, sensitivity=0.9, specificity=0.8)
        at[rule] = rates(score, positive, choose(score, positive, settings).threshold)
    assert sum(at["youden"]) == pytest.approx(max(map(sum, every)))
    assert at["sensitivity"][0] >= 0.9
    assert at["sensitivity"][1] == max(spec for sens, spec in every if sens >= 0.9)
    assert at["specificity"][1] >= 0.8
    assert at["specificity"][0] == max(sens for sens, spec in every if spec >= 0.8)


@pytest.mark.parametrize("cost", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("prevalence", [None, 0.05])
@pytest.mark.parametrize(("score", "positive"), samples(3))
def test_the_least_cost_is_that_of_no_other_cut(score, positive, cost, prevalence):
    share = positive.mean() if prevalence is None else prevalence

    def expected(sens: float, spec: float) -> float:
        return share * cost * (1 - sens) + (1 - share) * (1 - spec)

    rule = OperatingPoint(rule="cost", miss_cost=cost)
    own = rates(score, positive, choose(score, positive, rule, prevalence=prevalence).threshold)
    assert expected(*own) == pytest.approx(min(expected(*each) for each in every_cut(score, positive)))


def test_of_equally_good_cuts_youden_takes_the_one_with_most_positives():
    scores, positive = np.array([0.2, 0.4, 0.6, 0.8]), np.array([False, True, False, True])
    assert choose(scores, positive, OperatingPoint()).threshold == pytest.approx(0.3)


def test_a_threshold_lies_half_way_to_the_next_score():
    perfect = np.array([0.1, 0.2, 0.7, 0.9])
    for rule in ("youden", "sensitivity", "specificity", "cost"):
        assert choose(perfect, perfect > 0.5, OperatingPoint(rule=rule)).threshold == pytest.approx(0.45), rule


@pytest.mark.parametrize(
    ("score", "positive", "reason"),
    [
        (SCORES, np.zeros(10, bool), "there is no positive validation image"),
        (SCORES, np.ones(10, bool), "there is no negative validation image"),
        (np.full(10, 0.3), POSITIVE, "all validation images have the same score"),
    ],
)
def test_where_nothing_can_be_chosen_the_fallback_is_taken_and_said(score, positive, reason):
    choice = choose(score, positive, OperatingPoint(), 0.5)
    assert (choice.threshold, choice.reason) == (0.5, reason)
    if len(set(positive)) == 1:
        with pytest.raises(UserError, match=r"rule youden needs both"):
            choose(score, positive, OperatingPoint())


def test_where_even_the_highest_score_is_a_false_alarm_nothing_is_called_positive():
    choice = choose(SCORES, SCORES < 0.5, OperatingPoint(rule="specificity", specificity=0.9))
    assert not (choice.threshold < SCORES).any()


def estimate(right: int, n: int) -> dict[str, float]:
    low, high = score_interval(right / n, n, 1.959964, binomial_spread)
    return {"value": right / n, "low": low, "high": high}


def test_ppv_and_npv_follow_from_bayes_rule():
    """Of 1,000 people 10 are ill; a test with sensitivity .9 and specificity .91 finds 9 and alarms 89.1 others."""
    assert ppv(estimate(90, 100), estimate(91, 100), 0.01)["value"] == pytest.approx(9 / (9 + 89.1))
    assert npv(estimate(90, 100), estimate(91, 100), 0.01)["value"] == pytest.approx(900.9 / (900.9 + 1))


def test_at_the_prevalence_of_the_images_they_are_the_shares_that_were_counted():
    tp, fn, tn, fp = 40, 10, 120, 30
    both = estimate(tp, tp + fn), estimate(tn, tn + fp), (tp + fn) / 200
    assert ppv(*both)["value"] == pytest.approx(tp / (tp + fp))
    assert npv(*both)["value"] == pytest.approx(tn / (tn + fn))


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.8, 0.9), (0.95, 0.99), (0.6, 0.6)])
def test_the_interval_of_a_ppv_covers_the_truth_as_often_as_it_says(sensitivity, specificity):
    rng, hits, prevalence = np.random.default_rng(0), 0, 0.1
    truth = prevalence * sensitivity / (prevalence * sensitivity + (1 - prevalence) * (1 - specificity))
    for tp, tn in zip(rng.binomial(60, sensitivity, 1000), rng.binomial(80, specificity, 1000), strict=True):
        own = ppv(estimate(int(tp), 60), estimate(int(tn), 80), prevalence)
        assert own["low"] <= own["value"] <= own["high"]
        hits += own["low"] <= truth <= own["high"]
    assert 0.93 <= hits / 1000 <= 0.99


def test_a_specificity_of_one_leaves_the_ppv_a_wide_interval_at_a_low_prevalence():
    own = ppv(estimate(55, 60), estimate(80, 80), 0.01)
    assert own["value"] == own["high"] == 1
    assert 0.1 < own["low"] < 0.3
    assert likelihood_ratio(estimate(55, 60), estimate(80, 80))["high"] == np.inf


def test_what_is_not_defined_stays_so():
    nothing = {"value": None, "low": None, "high": None}
    assert ppv(nothing, estimate(1, 2), 0.5) == nothing
    assert ppv(estimate(0, 5), estimate(5, 5), 0.5) == nothing
    assert ppv(estimate(4, 5), estimate(4, 5), 0.0) == nothing


def test_prevalences_are_of_classes_that_there_are():
    assert prevalences(None, ["a", "b", "c"]) == dict.fromkeys("abc")
    assert prevalences(0.1, ["sick"]) == {"sick": 0.1}
    assert prevalences({"b": 0.2}, ["a", "b"]) == {"a": None, "b": 0.2}
    with pytest.raises(UserError, match=r"evaluate.prevalence: 0.1 is one number, and there are 3 classes"):
        prevalences(0.1, ["a", "b", "c"])
    with pytest.raises(UserError, match=r"evaluate.prevalence"):
        prevalences({"sik": 0.1}, ["sick"])
