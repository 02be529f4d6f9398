"""Learning curves with planted parameters, and the front of score against cost on tables that can be read off."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit

from stages.compare.numbers.cells import cells
from stages.compare.numbers.pareto import fronts
from stages.compare.numbers.power_law import curves, fit, target
from stages.compare.numbers.worth import worth
from stages.shared.measures.measure import Measure

from ..planted import SCORE, planted

SIZES = np.array([20.0, 50.0, 150.0, 400.0])


def law(images, alpha, beta, gamma):
    return alpha - beta * images**-gamma


def test_planted_parameters_are_recovered_and_noisy_ones_are_those_of_scipy():
    rng, images = np.random.default_rng(1), np.array([10.0, 20, 50, 100, 200, 400])
    for _ in range(5):
        alpha, beta, gamma = rng.uniform(0.7, 0.99), rng.uniform(0.3, 2), rng.uniform(0.3, 1.2)
        own = fit(images, law(images, alpha, beta, gamma)[None], np.ones(6), 1.0)
        assert (own.alpha[0], own.beta[0], own.gamma[0]) == pytest.approx((alpha, beta, gamma), rel=2e-3)
        noisy, weights = law(images, 0.95, 1.0, 0.5) + rng.normal(0, 0.01, 6), rng.uniform(0.5, 2, 6)
        bounds = ([-np.inf, 0, 0.02], [1, np.inf, 4])
        theirs, _ = curve_fit(law, images, noisy, p0=[0.9, 1, 0.5], sigma=weights**-0.5, bounds=bounds, xtol=1e-12)
        ours = fit(images, noisy[None], weights, 1.0)
        assert law(images, ours.alpha, ours.beta, ours.gamma) == pytest.approx(law(images, *theirs), abs=2e-4)


def test_intervals_cover_a_planted_curve():
    inside = {"value": 0, "images": 0}
    for run in range(60):
        scores = law(SIZES, 0.95, 1.2, 0.5)
        names = [("fine_tune", int(n)) for n in SIZES]
        (curve,) = curves(planted(scores, names, np.random.default_rng(run), seeds=4, spread=0.01), seed=0)
        _, low, high = curve.at(800)
        inside["value"] += low <= law(800, 0.95, 1.2, 0.5) <= high
        _, low, high = curve.needed(0.88)
        inside["images"] += low <= (1.2 / 0.07) ** 2 <= high
    assert min(inside.values()) >= 60 * 0.88


def test_images_needed_beyond_the_data_are_not_given_as_a_number():
    flat = planted([0.800, 0.801, 0.802, 0.802], [("fine_tune", int(n)) for n in SIZES], patients=1e-4)
    (curve,) = curves(flat, seed=0)
    assert curve.needed(0.9) == (np.inf, np.inf, np.inf)
    assert curve.needed(0.5) == (0, 0, 0)
    two_sizes = planted([0.7, 0.8], [("fine_tune", 20), ("fine_tune", 50)])
    assert curves(two_sizes, seed=0) == []


def test_a_metric_that_is_better_when_lower_has_a_curve_that_falls_to_no_less_than_zero():
    lower = Measure("distance", "distance", higher_is_better=False, spread=None, unit="mm")
    names = [("fine_tune", int(n)) for n in SIZES]
    (curve,) = curves(planted(0.5 + 30 * SIZES**-0.5, names, patients=1e-3, measure=lower), seed=0)
    value, low, high = curve.at(800)
    assert value == pytest.approx(0.5 + 30 * 800**-0.5, abs=0.05)
    assert 0 <= low <= value <= high
    assert curve.needed(3.0)[0] == pytest.approx(144, rel=0.05)


def test_the_target_is_what_was_asked_or_the_best_of_the_baseline():
    cells = planted([0.7, 0.8, 0.95], [("from_scratch", 20), ("from_scratch", 50), ("fine_tune", 50)], patients=0)
    assert target(cells, "from_scratch", 0.9) == 0.9
    assert target(cells, "from_scratch", None) == pytest.approx(0.8)
    assert target(cells, "no such", None) == pytest.approx(0.95)


def test_what_pretraining_is_worth_is_read_off_the_fitted_curve():
    names = [("from_scratch", int(n)) for n in SIZES] + [("fine_tune", 20)]
    cells = planted([*law(SIZES, 0.95, 1.2, 0.5), law(1000, 0.95, 1.2, 0.5)], names, patients=1e-4)
    (row,) = worth(cells.table, "from_scratch", SCORE, curves(cells, 0), lambda at: cells.drawn(at, 0))
    assert row["fitted"]
    assert row["images"] == pytest.approx(1000, rel=0.05)  # beyond the largest size of the baseline, 400
    assert row["images_low"] <= row["images"] <= row["images_high"] < np.inf


def test_the_front_and_whose_advantage_on_it_is_not_shown():
    names = [("cheap", 1), ("lucky", 1), ("good", 1), ("dominated", 1)]
    cells = planted([0.80, 0.802, 0.90, 0.85], names, costs={"seconds": [10, 20, 30, 40]})
    table = fronts(cells).set_index("strategy")
    brute = {
        a: not any(
            (table.amount[b] <= table.amount[a]) & (table.value[b] >= table.value[a]) for b in table.index if b != a
        )
        for a in table.index
    }
    assert table["front"].to_dict() == brute
    assert brute == {
        "cheap": True,
        "lucky": table.value["lucky"] > table.value["cheap"],
        "good": True,
        "dominated": False,
    }
    assert table.loc["good", "verdict"] == "better"
    assert table.loc["good", "against"] == "cheap of b, 1"  # not the lucky one, which is not shown to be worth its cost
    assert pd.isna(table.loc["cheap", "verdict"])
    if brute["lucky"]:
        assert table.loc["lucky", "verdict"] == "not shown to differ"
    assert fronts(planted([0.8, 0.9], names[:2], costs={"seconds": [10.0, 10.4]})).empty  # the same cost
    assert fronts(planted([np.nan, np.nan], names[:2], costs={"seconds": [10.0, 20.0]})).empty  # no score


def test_the_time_for_one_image_is_the_median_of_a_backbone_and_has_a_front():
    own = planted([0.9, 0.8, 0.7], [("fine_tune", 1), ("scratch", 1), ("large", 1)])
    names = {"backbone": ["small", "small", "big"], "strategy": ["fine_tune", "scratch", "scratch"], "samples": "full"}
    means = own.table.assign(**names)
    keys = [f"{row.backbone}-{row.strategy}-full" for row in means.itertuples()]
    models = means[["backbone"]].assign(key=keys, seconds=10.0, latency_1_ms=[1.0, 3.0, 20.0])
    trainings = own.trainings.assign(
        **{name: np.repeat(means[name].to_numpy(), 3) for name in ("backbone", "strategy")}
    )
    joined = cells(trainings, means, models, own.draws)
    assert joined.table["latency_1_ms"].tolist() == [2, 2, 20]
    assert set(fronts(joined)["cost"]) == {"latency_1_ms"}  # every training took as long
