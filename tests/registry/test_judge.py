"""The gate's questions, on models whose true difference is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr, ndtri
from sklearn.metrics import recall_score, roc_auc_score

from stages.registry.decision import verdict_of
from stages.registry.judge import judge
from stages.shared.core.errors import UserError
from stages.shared.measures.classification import METRICS
from stages.shared.measures.gaps import Score
from stages.shared.measures.groupings import Grouping
from stages.shared.measures.intervals import draws, support
from stages.shared.measures.noninferiority import of_rates, of_scores
from stages.shared.measures.statistics import auroc, once
from tests.registry import planted_models as planted

GOOD = 2.0  # a separation with an AUROC of 0.92


def asked(pair, metric="auroc", groupings=(), **changes):
    return judge(*pair, groupings, planted.rules(**changes), metric, seed=0)


def of(criteria, start):
    (found,) = [criterion for criterion in criteria if criterion.name.startswith(start)]
    return found


@pytest.mark.parametrize(
    ("patients", "new", "verdict"),
    [(3000, 2.4, "promote"), (3000, GOOD, "promote"), (1000, 1.3, "reject"), (60, GOOD, "undecided")],
    ids=["better", "equal", "worse", "too few"],
)
def test_the_four_outcomes(patients, new, verdict):
    criteria = asked(planted.pair(planted.patients(patients), new, GOOD, seed=1))
    assert verdict_of(criteria) == verdict
    difference = of(criteria, "difference in AUROC")
    assert (difference.difference.low > 0) == (new > GOOD)
    if verdict == "undecided":
        assert max(c.positives_needed or 0 for c in criteria) > 0


def test_numbers_are_those_of_scikit_learn():
    candidate, champion = planted.pair(planted.patients(200, images=2), 1.8, GOOD, seed=3)
    criteria = asked((candidate, champion))
    truth = candidate["label"] == "sick"
    area = [roc_auc_score(truth, table["prob_sick"]) for table in (candidate, champion)]
    own = of(criteria, "difference in AUROC")
    assert [own.candidate.value, own.champion.value] == pytest.approx(area)
    assert own.difference.value == pytest.approx(area[0] - area[1])
    rates = [recall_score(truth, t["predicted"] == "sick") for t in (candidate, champion)]
    assert of(criteria, "difference in sens").difference.value == pytest.approx(rates[0] - rates[1])


def test_a_model_that_is_worse_by_a_whole_margin_passes_seldom():
    """The null hypothesis at its edge: an AUROC lower by the margin, or a sensitivity lower by the margin. 500 studies
    of each, with two images a patient; at a true rate of 5%, more than 6.8% pass in 3 of 100 runs of other seeds."""
    test = planted.patients(120, images=2)
    clusters, sick = test["group"].to_numpy(), (test["label"] == "sick").to_numpy()
    margin, area = 0.03, float(ndtr(GOOD / np.sqrt(2)))
    lower = float(ndtri(area - margin) * np.sqrt(2))
    (weights,), rests_on = draws(clusters, 300, seed=0), support([sick, ~sick], clusters)
    passed = {"auroc": 0, "sensitivity": 0}
    for seed in range(500):
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=120)[clusters]
        new, old, other = (planted.scores(test, separation, rng, shared) for separation in (lower, GOOD, GOOD))
        areas = [
            Score(float(auroc(sick, own, once(len(test)))[0]), auroc(sick, own, weights), METRICS["auroc"], rests_on)
            for own in (new, old)
        ]
        passed["auroc"] += of_scores(*areas, 0.05).answer(margin) == "pass"
        hits = other[sick] > GOOD - ndtri(0.85), old[sick] > GOOD - ndtri(0.9)
        passed["sensitivity"] += of_rates(*hits, clusters[sick], 0.05).answer(0.05) == "pass"
    assert passed["auroc"] / 500 <= 0.068
    assert passed["sensitivity"] / 500 <= 0.068
    assert min(passed.values()) > 0  # the bounds are no wider than they have to be


def test_lower_sensitivity_at_the_operating_point_rejects_though_the_ranking_is_equal():
    pair = planted.pair(planted.patients(1000), GOOD, GOOD, seed=1, new_threshold=GOOD)  # half of the sick are missed
    criteria = asked(pair)
    assert of(criteria, "difference in AUROC").answer == "pass"
    assert of(criteria, "difference in sens").answer == "fail"
    assert verdict_of(criteria) == "reject"


def test_without_a_champion_only_floors_are_asked_for():
    candidate, _ = planted.pair(planted.patients(300), GOOD, GOOD, seed=1)
    assert verdict_of(asked((candidate, None), floors={"auroc": 0.8, "sensitivity": 0.7})) == "promote"
    assert verdict_of(asked((candidate, None), floors={"auroc": 0.99})) == "reject"
    near = of(asked((candidate, None), floors={"auroc": 0.925}), "AUROC alone")
    assert near.candidate.value < 0.925 < near.candidate.high
    assert near.answer == "undecided"
    assert not any(c.name.startswith("difference") for c in asked((candidate, None)))


def test_a_metric_that_is_better_when_lower_is_turned_round():
    better, worse = planted.pair(planted.patients(1500), 2.6, 1.2, seed=1)
    for pair, answer in (((better, worse), "pass"), ((worse, better), "fail")):
        assert of(asked(pair, metric="brier"), "difference in Brier").answer == answer
    assert of(asked((worse, None), floors={"brier": 0.05}), "Brier").answer == "fail"


def test_a_group_that_does_worse_rejects():
    test = planted.patients(1200)
    rng = np.random.default_rng(0)
    site = np.where(rng.random(len(test)) < 0.25, "east", "west")
    candidate, champion = planted.pair(test, GOOD + 0.3, GOOD, seed=1)
    blind = candidate.copy()
    columns = [name for name in blind if str(name).startswith(("prob_", "calibrated_"))]
    east = np.flatnonzero(site == "east")
    blind.loc[east, columns] = blind.loc[rng.permutation(east), columns].to_numpy()
    by_site = [Grouping("site", "Site", site, ["west", "east"])]
    assert of(asked((candidate, champion), groupings=by_site), "groups").answer == "pass"
    found = of(asked((blind, champion), groupings=by_site), "groups")
    assert found.answer == "fail"
    assert "Site: east" in found.sentence


def test_probabilities_that_are_too_sure_fail_calibration():
    candidate, champion = planted.pair(planted.patients(1000), GOOD, GOOD, seed=1)
    assert of(asked((candidate, champion), calibration=0.05), "calibration").answer == "pass"
    sure = (candidate["prob_sick"] > 0.5).astype(float)
    candidate = candidate.assign(calibrated_sick=sure, calibrated_normal=1 - sure)
    assert of(asked((candidate, champion), calibration=0.05), "calibration").answer == "fail"


def test_few_patients_of_a_class_decide_nothing():
    (only,) = asked(planted.pair(planted.patients(300, share=0.02), GOOD, GOOD, seed=1))
    assert only.answer == "undecided"
    assert only.positives_needed == 4
    assert "6 test patients of class sick" in only.sentence


def test_three_classes_are_judged():
    test = planted.patients(900)
    names = ["normal", "virus", "bacteria"]
    truth = np.arange(len(test)) % 3
    rng = np.random.default_rng(0)
    tables = []
    for strength in (3.0, 1.0):
        odds = strength * np.eye(3)[truth] + rng.normal(size=(len(test), 3))
        p = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
        columns = {f"{prefix}{name}": p[:, k] for prefix in ("prob_", "calibrated_") for k, name in enumerate(names)}
        predicted = pd.Categorical.from_codes(p.argmax(axis=1), categories=names)
        label = pd.Categorical.from_codes(truth, categories=names)
        tables.append(test.assign(label=label, predicted=predicted, **columns))
    assert verdict_of(asked(tables)) == "promote"
    assert verdict_of(asked(tables[::-1])) == "reject"


def test_an_unknown_metric_names_the_valid_ones():
    with pytest.raises(UserError, match=r"registry.floors: 'aurok' is not known. Did you mean 'auroc'"):
        asked(planted.pair(planted.patients(), GOOD, GOOD, seed=1), floors={"aurok": 0.5})
