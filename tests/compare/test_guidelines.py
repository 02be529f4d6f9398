"""What to use: on cells with known scores, the advice that they allow and no more."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from stages.compare.numbers.guidelines import choices, more
from stages.compare.numbers.power_law import curves
from stages.compare.page.guidelines import for_json, guidelines
from stages.shared.core.files import write_json
from stages.shared.measures.measure import Measure

from ..planted import SCORE, planted


def studied(cells, floor=None, missing=(), meters=(), measure=SCORE):
    """What the advice reads of a study."""
    table = cells.table
    models = pd.DataFrame({"key": [f"b-{s}-{n}" for s, n in zip(table.strategy, table["sample"], strict=True)]})
    return SimpleNamespace(
        cells=cells, choices=choices(cells, floor, "score"), curves=curves(cells, 0), floor=floor, metric="score",
        measure=measure, missing=list(missing), models=models.assign(one_class=None), repeated=True,
        ranked=[SimpleNamespace(summary={"environment": {"hardware": "a machine"}})],
        by_key={key: SimpleNamespace(metrics={}) for key in models["key"]},
        data=SimpleNamespace(validation={}, shortcuts={"meters": list(meters)}),
    )  # fmt: skip


def cells_of(scores, seconds=None, images=100, **options):
    names = [(strategy, images) for strategy in ("from_scratch", "feature_extraction", "fine_tune")][: len(scores)]
    costs = {
        "seconds": seconds or [30.0, 10.0, 50.0][: len(scores)], "peak_memory_mb": 500.0, "parameters": 1e5,
        "val_value": scores, "value_sd": 0.01, "samples": str(images),
    }  # fmt: skip
    return planted(scores, names, costs=costs, **options)


def floor_of(cells, value):
    draws = pd.DataFrame({"score": value + 0.3 * (cells.draws.replicates[0] - cells.draws.point[0])})
    estimate = {"value": value}
    about = {"title": "HOG", "about": "lines through gradients"}
    return SimpleNamespace(
        key="hog", about=about, draws=draws, value=lambda split, name, end="value": estimate["value"]
    )


def text_of(study, topic):
    return next(advice.sentence for advice in guidelines(study) if advice.topic.startswith(topic))


def test_a_model_that_is_shown_to_be_better_than_all_others_is_the_one_to_use():
    text = text_of(studied(cells_of([0.70, 0.72, 0.90])), "With 100")
    assert text.startswith("Use fine_tune. fine_tune is the best on validation: test score 0.8")
    assert text.endswith("All of the 2 others are shown to be worse than fine_tune.")
    text = text_of(studied(cells_of([0.70, 0.90])), "With 100")
    assert text.endswith("The other is shown to be worse than feature_extraction.")


def test_where_nothing_is_shown_it_says_so_and_names_the_cheapest():
    study = studied(cells_of([0.800, 0.801, 0.802], patients=0.05, spread=0.01))
    text = text_of(study, "With 100")
    assert text.startswith("It is not shown which of fine_tune")
    assert "Use" not in text
    assert "The cheapest is feature_extraction: 10 s of training instead of 50 s" in text


def test_a_cheaper_model_is_not_named_where_it_saves_next_to_nothing():
    study = studied(cells_of([0.800, 0.801, 0.802], seconds=[49.0, 49.5, 50.0], patients=0.05))
    assert "None of the others trains in clearly less time" in text_of(study, "With 100")


def test_where_the_floor_is_not_beaten_no_network_is_advised():
    cells = cells_of([0.70, 0.71, 0.72], patients=0.02)
    text = text_of(studied(cells, floor_of(cells, 0.90)), "With 100")
    assert text.startswith(
        "No network is justified by these data. HOG, which needs none, reaches a test score of 0.900."
    )
    assert text.endswith("shown to be worse.")
    assert "Use" not in text
    tie = text_of(studied(cells, floor_of(cells, 0.722)), "With 100")
    assert tie.startswith("No network is justified")
    assert tie.endswith("not shown to differ.")
    assert text_of(studied(cells, floor_of(cells, 0.2)), "With 100").startswith("It is not shown which")


def test_one_model_of_one_seed_has_nothing_to_be_compared_with():
    study = studied(cells_of([0.8], seeds=1))
    assert "There is no other model of this size" in text_of(study, "With 100")
    assert "It was trained once" in text_of(study, "How sure")
    assert {advice.topic for advice in guidelines(study)} == {"With 100 training images", "On this machine", "How sure"}


def test_models_without_a_validation_value_are_not_chosen_among():
    cells = cells_of([0.8, 0.9])
    cells.table["val_value"] = np.nan
    (advice,) = guidelines(studied(cells))
    assert "nothing to choose by" in advice.sentence


def test_where_lower_is_better_the_lowest_on_validation_is_chosen():
    lower = Measure("distance", "distance", higher_is_better=False, spread=None, unit="mm")
    study = studied(cells_of([9.0, 8.0, 2.0], measure=lower), measure=lower)
    assert text_of(study, "With 100").startswith(
        "Use fine_tune. fine_tune is the best on validation: test distance 1.9"
    )


def test_what_would_change_the_answer_is_said():
    meter = {"title": "Border", "flag": True, "auroc": 0.9, "low": 0.8, "high": 0.95}
    study = studied(cells_of([0.8, 0.81], seeds=1, patients=0.05), missing=["a model"], meters=[meter])
    assert "repeats with other seeds" in text_of(study, "Other seeds")
    assert "1 of 2 models are missing" in text_of(study, "Missing models")
    assert "told from the border (AUROC 0.900)" in text_of(study, "A possible shortcut")


def test_as_many_patients_as_it_says_would_show_the_difference():
    cells = cells_of([0.80, 0.82], seeds=1, patients=0.02)
    times = more(cells, 0, 1).patients / cells.draws.clusters
    difference = cells.draws.point[0] - cells.draws.point[1]
    own = (cells.draws.replicates[0] - cells.draws.replicates[1]).std(ddof=1)
    assert times == pytest.approx((1.96 * own / difference) ** 2, rel=0.06)
    assert more(cells_of([0.80, 0.8000001], seeds=1, patients=0.02), 0, 1).seeds is None


def test_more_seeds_decide_where_seeds_are_what_varies():
    cells = cells_of([0.80, 0.82], seeds=3, patients=1e-5, spread=0.02, rng=np.random.default_rng(4))
    needed = more(cells, 0, 1)
    assert needed.patients is None
    difference = cells.draws.point[cells.rows[0]["at"]] - cells.draws.point[cells.rows[1]["at"]]
    assert needed.seeds > 3
    assert 1.96 * difference.std(ddof=1) / needed.seeds**0.5 < abs(difference.mean())


def test_every_number_of_a_sentence_stands_beside_it(tmp_path):
    names = [("from_scratch", n) for n in (20, 50, 150)] + [("fine_tune", n) for n in (20, 50, 150)]
    scores = [0.70, 0.75, 0.80, 0.74, 0.78, 0.81]
    costs = {"seconds": [10.0, 20, 30, 20, 40, 60], "peak_memory_mb": 500.0, "parameters": 1e5, "value_sd": 0.01,
             "val_value": scores, "samples": "1"}  # fmt: skip
    cells = planted(scores, names, costs=costs, patients=0.04)
    study = studied(cells, floor_of(cells, 0.4))
    study.models = study.models.assign(key="b-fine_tune-1").iloc[:1]
    study.by_key = {"b-fine_tune-1": SimpleNamespace(metrics={})}
    every = guidelines(study)
    assert {"With 150 training images", "With 50 training images", "More training images"} <= {a.topic for a in every}
    for advice in every:
        known = {f"{abs(value):.3f}" for value in advice.numbers.values() if isinstance(value, float)}
        assert set(re.findall(r"\d\.\d{3}", advice.sentence)) <= known
        assert advice.files
    write_json(tmp_path / "guidelines.json", [for_json(advice) for advice in every])
