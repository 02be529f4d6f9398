"""Differences of two models on the same images: bounds, answers, and patients needed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar

from stages.shared.measures.gaps import Score
from stages.shared.measures.intervals import Support, area_spread
from stages.shared.measures.measure import Measure
from stages.shared.measures.noninferiority import Difference, more, of_rates, of_scores, tango

Z = float(norm.ppf(0.975))


def test_tangos_interval_is_the_published_one():
    """Airway hyper-responsiveness before and after transplantation (Fagerland, Lydersen & Laake 2014)."""
    assert tango(1, 7, 21, Z) == pytest.approx((-0.517, -0.026), abs=6e-4)


@pytest.mark.parametrize(("only_new", "only_old", "n"), [(3, 9, 60), (12, 2, 50)])
def test_tangos_bound_is_zero_where_mcnemars_test_is_at_its_critical_value(only_new, only_old, n):
    statistic = mcnemar([[n - only_new - only_old, only_new], [only_old, 0]], exact=False, correction=False).statistic
    assert min(map(abs, tango(only_new, only_old, n, float(np.sqrt(statistic))))) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("only_new", "only_old", "n"), [(0, 0, 30), (3, 0, 40), (5, 9, 60), (12, 2, 50), (0, 6, 25)])
def test_tangos_bounds_are_where_the_score_statistic_of_the_fitted_table_is_critical(only_new, only_old, n):
    """The share of pairs in which only the old one is right, under the null hypothesis: by maximum likelihood, found
    numerically instead of by the formula."""
    for delta in tango(only_new, only_old, n, Z):

        def loss(share, delta=delta):
            both = np.array([share + delta, share, 1 - 2 * share - delta])
            counts = np.array([only_new, only_old, n - only_new - only_old])
            return -float((counts[counts > 0] * np.log(np.maximum(both[counts > 0], 1e-300))).sum())

        low, high = max(0.0, -delta), (1 - delta) / 2
        share = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
        statistic = (only_new - only_old - n * delta) / np.sqrt(n * (2 * share + delta - delta**2))
        assert abs(statistic) == pytest.approx(Z, rel=2e-3)


def test_a_patient_with_ten_alike_images_counts_once():
    rng = np.random.default_rng(0)
    new, old = rng.random(60) < 0.8, rng.random(60) < 0.8
    once = of_rates(new, old, np.arange(60), 0.05)
    tenfold = of_rates(np.repeat(new, 10), np.repeat(old, 10), np.repeat(np.arange(60), 10), 0.05)
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high), abs=5e-3)
    agreeing = of_rates(np.ones(600, bool), np.ones(600, bool), np.repeat(np.arange(60), 10), 0.05)
    assert agreeing.low == pytest.approx(of_rates(np.ones(60, bool), np.ones(60, bool), np.arange(60), 0.05).low)
    assert agreeing.low < -0.03


def test_the_bounds_of_rates_cover_the_true_difference_as_often_as_they_say():
    """One-sided, for clustered images: 12 positives a study have three images, the others one."""
    rng, clusters = np.random.default_rng(1), np.r_[np.repeat(np.arange(12), 3), np.arange(12, 60)]
    covered = []
    for _ in range(1000):
        hard = rng.normal(size=60)[clusters]
        new, old = (hard + 0.8 * rng.normal(size=(2, len(clusters))) < 1.2) @ np.eye(len(clusters), dtype=int) > 0
        covered.append(of_rates(new, old, clusters, 0.05).low <= 0)
    assert np.mean(covered) >= 0.93


def test_answers_lie_on_both_sides_of_the_margin():
    assert Difference(0.0, -0.02, 0.02, 1e-4).answer(0.05) == "pass"
    assert Difference(-0.1, -0.15, -0.06, 1e-4).answer(0.05) == "fail"
    assert Difference(-0.03, -0.08, 0.02, 1e-4).answer(0.05) == "undecided"
    assert Difference(0.0, np.nan, np.nan, np.nan).answer(0.05) == "undecided"
    assert Difference(0.01, 0.001, 0.02, 1e-4).answer(0.0) == "pass"  # a margin of 0 asks for a better one


def test_a_margin_of_five_points_needs_150_positives_where_six_in_a_hundred_are_discordant():
    own = Difference(0.0, -0.1, 0.1, 0.06 / 50)
    needed = 50 * own.growth_needed(0.05, 0.05, 0.8)
    assert needed == pytest.approx(0.06 * (norm.ppf(0.95) + norm.ppf(0.8)) ** 2 / 0.05**2)
    assert 50 + more(own.growth_needed(0.05, 0.05, 0.8), 50) == pytest.approx(150, abs=2)
    assert 50 + more(own.growth_needed(0.02, 0.05, 0.8), 50) == pytest.approx(930, abs=5)
    assert more(own.growth_needed(0.0, 0.05, 0.8), 50) is None


def test_two_models_that_are_always_right_are_not_known_to_be_equal():
    area, rests_on = Measure("", "", spread=area_spread), Support(images=60, clusters=60, df=59)
    perfect = Score(1.0, np.ones(100), area, rests_on)
    own = of_scores(perfect, perfect, 0.05)
    assert own.value == 0
    assert -0.1 < own.low < -0.01
    assert 0.01 < own.high < 0.1
