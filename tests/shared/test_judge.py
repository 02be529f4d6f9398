from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from stages.shared.core.files import read_json
from stages.shared.measures import MEASURES
from stages.shared.measures.judge import Resampling, flat, judge, write
from stages.shared.tasks.classification import predictions

TASK = MEASURES["classification"]
PARAMS = Resampling(bootstrap=200, confidence=0.95, seed=3)


def table(skill: float = 1.5, seed: int = 0) -> pd.DataFrame:
    """60 patients of two images, half of them for validation."""
    rng = np.random.default_rng(seed)
    sick = np.repeat(np.arange(60) % 2, 2)
    index = pd.DataFrame(
        {
            "path": [f"{i:03d}.png" for i in range(120)],
            "label": pd.Categorical.from_codes(sick, ["normal", "sick"]),
            "patient": np.repeat([f"p{i:02d}" for i in range(60)], 2),
            "group": np.repeat(np.arange(60), 2),
            "split": np.where(np.arange(120) < 60, "train", "test"),
        }
    )
    score = 1 / (1 + np.exp(-(skill * (2 * sick - 1) + rng.normal(size=120))))
    return predictions(index, np.stack([1 - score, score], axis=1), ["normal", "sick"])


def test_predictions_are_one_row_per_image_and_all_but_test_is_validation():
    rows = table()
    assert list(rows) == ["path", "label", "patient", "group", "split", "predicted", "prob_normal", "prob_sick"]
    assert set(rows["split"]) == {"val", "test"}
    assert (rows["predicted"].astype(str) == np.where(rows["prob_sick"] > 0.5, "sick", "normal")).all()


def test_the_draws_are_each_metric_of_the_same_patients_for_every_model():
    """The metric of the drawn patients' images, written out; draw i of two models takes the same patients."""
    rng, names = np.random.default_rng(PARAMS.seed), [f"p{i:02d}" for i in range(30, 60)]
    counts = rng.multinomial(30, np.full(30, 1 / 30), size=PARAMS.bootstrap)
    for rows in (table(), table(skill=0.5, seed=1)):
        draws, test = judge(rows, TASK, PARAMS).draws, rows[rows["split"] == "test"]
        assert draws.shape == (PARAMS.bootstrap, len(TASK.metrics))
        for i in (0, 17, 199):
            drawn = pd.concat(
                [test[test["patient"] == p] for p, n in zip(names, counts[i], strict=True) for _ in range(n)]
            )
            assert draws["auroc"][i] == pytest.approx(
                sk.roc_auc_score(drawn["label"] == "sick", drawn["prob_sick"]), rel=1e-6
            )
            assert draws["ppv"][i] == pytest.approx(
                sk.precision_score(drawn["label"].astype(str), drawn["predicted"].astype(str), pos_label="sick"),
                rel=1e-6,
            )


def test_clusters_are_drawn_whole_though_they_have_several_patients():
    """Thirty patients in ten clusters: the interval knows only ten."""
    rows = table()
    joined = rows.assign(group=rows["group"] // 3)
    for name in ("accuracy", "auroc"):
        apart, together = (
            judge(t, TASK, Resampling(bootstrap=1000, confidence=0.95, seed=0)).numbers["test"][name]
            for t in (rows, joined)
        )
        assert apart["value"] == together["value"]
        assert together["high"] - together["low"] > 1.05 * (apart["high"] - apart["low"])


def test_every_interval_has_width_and_includes_its_estimate_and_validation_has_none():
    judgement = judge(table(), TASK, PARAMS)
    numbers = judgement.numbers
    assert numbers["val"].keys() == numbers["test"].keys() == TASK.metrics.keys()
    for name, estimate in numbers["test"].items():
        lowest = -1 if name in ("mcc", "kappa") else 0
        assert lowest <= estimate["low"] < estimate["value"] <= estimate["high"]
        assert estimate["high"] <= 1 or name == "log_loss"
        assert estimate["high"] > estimate["value"] or estimate["value"] == 1
        assert isinstance(numbers["val"][name], float)
    assert numbers["n"]["test"] == {"images": 60, "patients": 30}
    sick = numbers["per_class"]["sick"]
    assert sick["recall"] == numbers["test"]["sensitivity"]
    assert sick["precision"] == numbers["test"]["ppv"]


def test_a_model_that_is_always_right_has_intervals_with_width():
    numbers = judge(table(skill=20), TASK, PARAMS).numbers
    error = numbers["test"]["ece"]
    assert error["low"] <= error["value"] < 1e-6 < 0.05 < error["high"] < 0.3
    rates = [name for name, measure in TASK.metrics.items() if measure.spread and name != "ece"]
    assert {*TASK.metrics} - {*rates} == {"mcc", "kappa", "brier", "log_loss", "ece"}
    for name in rates:
        estimate = numbers["test"][name]
        assert estimate["value"] == estimate["high"] == 1, name
        assert 0.7 < estimate["low"] < 0.95, name
    assert numbers["per_class"]["sick"]["recall"] == numbers["test"]["sensitivity"]


@pytest.mark.parametrize(("shift", "expected"), [(-20, "normal"), (20, "sick"), (0, None)])
def test_a_model_that_calls_one_class_is_marked(shift: float, expected: str | None):
    rows = table()
    logit = np.log(rows["prob_sick"] / rows["prob_normal"]) + shift
    rows["predicted"] = pd.Categorical(np.where(logit > 0, "sick", "normal"), ["normal", "sick"])
    found = judge(rows, TASK, PARAMS).numbers["one_class"]
    assert found == (expected and {"class": expected, "share": 1.0})


@pytest.mark.parametrize(("right", "expected"), [(1, None), (0, "normal")])
def test_a_model_that_finds_the_few_of_a_rare_class_is_not_marked(right: int, expected: str | None):
    """One of 60 test images is sick."""
    rows = table()
    sick = np.where(np.arange(120) == 119, "sick", "normal")
    rows["label"] = pd.Categorical(sick, ["normal", "sick"])
    rows["predicted"] = pd.Categorical(sick if right else np.full(120, "normal"), ["normal", "sick"])
    found = judge(rows, TASK, PARAMS).numbers["one_class"]
    assert (found and found["class"]) == expected


def test_what_is_not_defined_is_none_and_not_sent_to_mlflow():
    rows = table()
    rows["label"] = pd.Categorical(np.full(len(rows), "normal"), ["normal", "sick"])
    numbers = judge(rows, TASK, PARAMS).numbers
    assert numbers["test"]["auroc"] == {"value": None, "low": None, "high": None}
    sent = flat(numbers)
    assert not any("auroc" in name for name in sent)
    assert sent["test/accuracy"] == numbers["test"]["accuracy"]["value"]


def test_what_is_written_can_be_read_again(tmp_path):
    rows = table()
    judgement = judge(rows, TASK, PARAMS)
    write(tmp_path, rows, judgement)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["draws.parquet", "metrics.json", "predictions.parquet"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "draws.parquet"), judgement.draws)
    assert read_json(tmp_path / "metrics.json") == judgement.numbers
