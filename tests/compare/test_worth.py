"""What a strategy is worth in images, on curves that can be read off by hand; scores of each site apart."""

import math
import re
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from stages.compare.figures.growth import data_efficiency
from stages.compare.numbers.sites import by_site
from stages.compare.numbers.worth import needed, worth
from stages.compare.page.render import _environment
from stages.compare.text import images_span
from stages.shared.core.paths import Key
from stages.shared.measures import MEASURES
from stages.shared.measures.measure import Measure

SCORE = Measure("score", "score")


def means(**curves):
    rows = [
        {"backbone": "b", "strategy": name, "sample": f"{n} a class", "site": "", "train_images": n, "value": value,
         "value_low": value - 0.1, "value_high": value + 0.1}
        for name, curve in curves.items() for n, value in curve.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_baseline_needs_what_its_curve_says():
    table = means(from_scratch={10: 0.5, 40: 0.7}, fine_tune={10: 0.6, 40: 0.9})
    few, many = worth(table, "from_scratch", SCORE)
    assert few["images"] == pytest.approx(20)  # half-way, on a logarithmic axis
    assert few["images_low"] == pytest.approx(10)
    assert few["images_high"] == pytest.approx(40)
    assert math.isinf(many["images"])


def test_an_interval_beyond_the_end_of_the_curve_is_said_once():
    assert images_span(math.inf, math.inf, 24) == "more than 24"
    assert images_span(6.4, math.inf, 24) == "6 to more than 24"
    assert images_span(0, 0, 24) == "fewer than any"


def test_distances_are_better_when_they_are_lower_and_a_dip_does_not_count():
    lower = Measure("distance", "distance", higher_is_better=False)
    table = means(from_scratch={10: 8.0, 20: 9.0, 40: 4.0}, fine_tune={10: 6.0})
    (row,) = worth(table, "from_scratch", lower)
    assert row["images"] == pytest.approx(20 * 2**0.5)  # from 8 at 20 (no worse than at 10) to 4 at 40
    assert needed(0.1, np.array([0.5, 0.7]), np.array([10.0, 40.0])) == 0


def test_trainings_at_one_site_are_no_points_of_the_curve_of_all():
    table = means(from_scratch={10: 0.5, 40: 0.7}, fine_tune={10: 0.6})
    elsewhere = means(from_scratch={20: 0.69}, fine_tune={20: 0.69}).assign(site="east")
    (row,) = worth(pd.concat([table, elsewhere]), "from_scratch", SCORE)
    assert row["images"] == pytest.approx(20)


def test_the_learning_curve_joins_no_trainings_of_different_sites():
    table = means(from_scratch={10: 0.5, 40: 0.7})
    table = pd.concat([table, means(from_scratch={20: 0.3}).assign(site="east")], ignore_index=True)
    table = table.assign(seeds=1, confidence=0.95)
    look = SimpleNamespace(backbones=["b"], colour={"from_scratch": "black"}, mark=defaultdict(lambda: "o"))
    (ax,) = data_efficiency(table, table.assign(key=""), "score", look).axes
    lines = [line.get_xdata().tolist() for line in ax.lines if line.get_linestyle() != "None"]
    assert lines == [[10, 40], [20]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["from_scratch"]


def test_one_size_of_the_baseline_is_no_curve():
    assert worth(means(from_scratch={10: 0.5}, fine_tune={10: 0.6}), "from_scratch", SCORE) == []


def test_each_site_is_scored_on_its_own_test_images():
    rng = np.random.default_rng(0)
    label = pd.Categorical(rng.choice(["healthy", "ill"], 60))
    score = np.where(np.arange(60) < 30, label.codes, 1 - label.codes)  # right at one site, wrong at the other
    test = pd.DataFrame({"path": [f"{n}.png" for n in range(60)], "label": label, "prob_healthy": 1 - score})
    test = test.assign(prob_ill=score, predicted=pd.Categorical.from_codes(score, ["healthy", "ill"]))
    index = test[["path"]].assign(site=["east"] * 30 + ["west"] * 30, split="test")

    class Trained:
        key, summary = "model", {"sample": {"site": "east"}}

    Trained.test = test
    (row,) = by_site([Trained], index, MEASURES["classification"], "accuracy")
    assert (row["trained"], row["scores"], row["images"]) == ("east", [1.0, 0.0], [30, 30])
    assert by_site([Trained], index.assign(site="east"), MEASURES["classification"], "accuracy") == []


def test_the_page_shows_the_scores_of_each_site():
    row = {"key": Key("net", "fine_tune", "full"), "trained": "east", "scores": [0.875, 0.625], "images": [30, 31]}
    row |= {"new": [False, True]}
    study = SimpleNamespace(measure=SimpleNamespace(label="AUROC"))
    look = SimpleNamespace(colour={"fine_tune": "#123456"})
    template = _environment().get_template("sites.j2")
    html = template.render(study=study, look=look, site_names=["east", "west"], by_site=[row])
    assert re.findall(r"<td>([\d.]+)<", html) == ["0.875", "0.625"]
    assert re.findall(r"(\d+) images", html) == ["30", "31"]
    assert html.index("0.625") < html.index("never seen")
    assert html.count("never seen") == 1
