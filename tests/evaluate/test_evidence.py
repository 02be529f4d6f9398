"""The sections of metrics.json, recomputed from the table of predictions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from stages.evaluate import Params
from stages.evaluate.evidence import SECTIONS, abstention, calibration, conformal, decision_curve, uncertainty
from stages.evaluate.evidence.evidence import Evidence, headlines
from stages.shared.measures import MEASURES
from stages.shared.measures.calibration import Calibration
from stages.shared.measures.judge import Resampling
from stages.shared.tasks.classification import predictions

from . import made_up

HOW = Resampling(200, 0.95, seed=0)


def evidence(classes: int = 2, images: int = 400, validation: int = 150, **params: Any) -> Evidence:
    """A model that is too sure; two images a patient. With the columns that evaluate adds."""
    rng = np.random.default_rng(4)
    index, truth, names = made_up.images(images, classes, validation, rng)
    logits = 3 * (rng.normal(size=(images, classes)) + 1.0 * np.eye(classes)[truth])
    values = np.exp(logits)
    table = predictions(index, values / values.sum(axis=1, keepdims=True), names)
    own = Evidence(Params.model_validate(params), table, HOW, None, None, None, np.arange(images))  # type: ignore[arg-type]
    for columns in (calibration.columns, conformal.columns):
        own = replace(own, table=own.table.join(columns(own)))
    return own


@pytest.fixture(scope="module")
def binary() -> Evidence:
    return evidence()


@pytest.fixture(scope="module")
def three() -> Evidence:
    return evidence(classes=3)


@pytest.mark.parametrize("classes", [2, 3])
def test_every_section_is_json_with_ends_around_each_value(classes, binary, three):
    own = {2: binary, 3: three}[classes]
    for module in (calibration, decision_curve, conformal, abstention):
        section = module.section(own)
        json.dumps(section, allow_nan=False)
        assert module.section(own) == section

        def check(value: Any) -> int:
            if isinstance(value, dict) and value.keys() == {"value", "low", "high"}:
                if value["value"] is not None:
                    assert value["low"] <= value["value"] <= value["high"]
                return 1
            parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            return sum(map(check, parts))

        assert check(section) > 5


def test_scores_before_and_after_are_those_of_the_columns(binary):
    section, test = calibration.section(binary), binary.test
    truth = (test["label"] == "class_1").to_numpy()
    for state, column in (("before", "prob_class_1"), ("after", "calibrated_class_1")):
        own = section[state]
        assert own["brier"]["value"] == pytest.approx(sk.brier_score_loss(truth, test[column]))
        assert own["log_loss"]["value"] == pytest.approx(sk.log_loss(truth, test[column]))
        assert sum(each["images"] for each in own["bins"]) == len(test)
        gap = sum(each["images"] * abs(each["score"] - each["outcome"]["value"]) for each in own["bins"]) / len(test)
        assert own["ece"]["value"] == pytest.approx(gap)
    assert section["change"]["log_loss"]["high"] < 0  # a model that is too sure gains
    slopes = section["per_class"]["class_1"]
    assert slopes["before"]["slope"]["high"] < 1
    assert slopes["after"]["slope"]["low"] < 1 < slopes["after"]["slope"]["high"]


def test_calibration_json_gives_the_calibrated_columns_again(three):
    for method in ("temperature", "platt", "isotonic"):
        own = replace(three, params=Params.model_validate({"calibration": method}))
        file, columns = json.loads(json.dumps(calibration.file(own))), calibration.columns(own)
        log_probabilities = np.log(own.table[[f"prob_{name}" for name in file["classes"]]].to_numpy())
        again = Calibration(file["method"], file, file["images"]).apply(log_probabilities)
        np.testing.assert_allclose(again, columns, atol=1e-12)


def test_without_enough_validation_images_nothing_is_calibrated_and_the_section_says_why():
    own = evidence(validation=8)
    section = calibration.section(own)
    assert (section["method"], section["images"]) == ("none", 8)
    assert "needs 10 validation images" in section["reason"]
    np.testing.assert_allclose(own.table["calibrated_class_1"], own.table["prob_class_1"])
    sets = conformal.section(own)
    assert sets["together"]["always"] == ["class_0", "class_1"]
    assert sets["by_class"]["coverage"]["value"] == 1


def test_the_decision_curve_is_of_the_calibrated_probability(binary):
    section, test = decision_curve.section(binary), binary.test
    truth, own = (test["label"] == "class_1").to_numpy(), section["per_class"]["class_1"]
    at = section["thresholds"].index(0.2)
    acted = (test["calibrated_class_1"] >= 0.2).to_numpy()
    expected = (acted & truth).mean() - (acted & ~truth).mean() * 0.2 / 0.8
    assert own["net_benefit"][at]["value"] == pytest.approx(expected)
    best = max(own["treat_all"][at]["value"], 0)
    assert own["gain"][at]["value"] == pytest.approx(expected - best)
    for t, gain in zip(section["thresholds"], own["gain"], strict=True):
        assert (gain["low"] > 0) == any(first <= t <= last for first, last in own["useful"])
    assert any(first < 0.5 < last for first, last in own["useful"])


def test_coverage_and_sizes_are_those_of_the_column(three):
    section, test = conformal.section(three)["by_class"], three.test
    names = ["class_0", "class_1", "class_2"]
    sets = test[[f"in_set_{name}" for name in names]].to_numpy()
    truth = test["label"].cat.codes.to_numpy()
    inside = sets[np.arange(len(test)), truth]
    assert section["coverage"]["value"] == pytest.approx(inside.mean())
    assert section["size"]["value"] == pytest.approx(sets.sum(axis=1).mean())
    assert section["single"]["value"] == pytest.approx((sets.sum(axis=1) == 1).mean())
    assert section["right_if_single"]["value"] == pytest.approx(inside[sets.sum(axis=1) == 1].mean())
    for k, name in enumerate(names):
        assert section["per_class"][name]["value"] == pytest.approx(inside[truth == k].mean())


def test_what_is_left_to_a_human_was_decided_on_the_validation_images(three):
    section, validation, test = abstention.section(three), three.validation, three.test
    sure = {name: rows.filter(like="prob_").max(axis=1) for name, rows in (("val", validation), ("test", test))}
    assert (sure["val"] < section["limit"]).mean() == pytest.approx(0.1, abs=1 / len(validation))
    kept = sure["test"] >= section["limit"]
    right = test["label"].astype(str) == test["predicted"].astype(str)
    assert section["left"]["value"] == pytest.approx((~kept).mean())
    assert section["kept"]["accuracy"]["value"] == pytest.approx(right[kept].mean())
    assert section["errors_left"]["value"] == pytest.approx((~kept)[~right].mean())
    recall = sk.recall_score(test["label"][kept].astype(str), test["predicted"][kept].astype(str), average="macro")
    assert section["kept"]["sensitivity"]["value"] == pytest.approx(recall)
    assert section["finds_errors"]["value"] == pytest.approx(sk.roc_auc_score(~right, -sure["test"]))
    assert section["curve"][-1]["error"]["value"] == pytest.approx((~right).mean())
    assert section["curve"][9]["images"] == pytest.approx(len(test) / 2, abs=1)


def test_the_gain_of_passes_is_over_the_plain_probability(binary, monkeypatch):
    """The passes are made up: they disagree where the model is wrong."""
    own = replace(binary, params=Params.model_validate({"uncertainty": {"mc_dropout": 8, "tta": 4}}))
    plain = own.table[["prob_class_0", "prob_class_1"]].to_numpy()
    wrong = (own.table["label"].astype(str) != own.table["predicted"].astype(str)).to_numpy()
    rng = np.random.default_rng(0)

    def predicted(evidence: Evidence, kind: str, passes: int) -> np.ndarray:
        noise = np.where(wrong, 0.3, 0.02)[:, None] * rng.normal(size=(passes, len(wrong), 1))
        return np.clip(plain + noise * np.array([1, -1]), 0.001, 0.999)

    monkeypatch.setattr(uncertainty, "predicted", predicted)
    reasons = {"mc_dropout": None, "tta": "its training augmented nothing"}
    monkeypatch.setattr(uncertainty, "reason", lambda evidence, kind: reasons[kind])
    own = replace(own, table=own.table.join(uncertainty.columns(own)))
    section, test = uncertainty.section(own), own.test
    assert section["tta"] == {"passes": 4, "reason": "its training augmented nothing"}
    assert not any(name.startswith("tta_") for name in test)
    drawn, errors = section["mc_dropout"], wrong[own.table["split"] == "test"]
    score = sk.roc_auc_score(errors, test["mc_dropout_sd"])
    assert drawn["finds_errors"]["sd"]["value"] == pytest.approx(score)
    sure = test[["prob_class_0", "prob_class_1"]].max(axis=1)
    assert section["confidence"]["value"] == pytest.approx(sk.roc_auc_score(errors, -sure))
    assert drawn["gain"]["sd"]["value"] == pytest.approx(score - section["confidence"]["value"])
    assert drawn["gain"]["sd"]["low"] > 0
    mean = test["mc_dropout_mean_class_1"]
    assert drawn["brier"]["value"] == pytest.approx(sk.brier_score_loss(test["label"] == "class_1", mean))


def test_compare_asks_for_sections_that_evaluate_makes():
    for task, measures in MEASURES.items():
        assert set(measures.sections) <= set(SECTIONS[task])


def test_mlflow_gets_single_numbers_and_no_tables(binary):
    logged = headlines({"calibration": calibration.section(binary), "conformal": conformal.section(binary)})
    assert logged["calibration/after/ece"] == calibration.section(binary)["after"]["ece"]["value"]
    assert logged["conformal/by_class/coverage"] == pytest.approx(
        conformal.section(binary)["by_class"]["coverage"]["value"]
    )
    assert all("bins" not in name and "per_class" not in name for name in logged)
    gaps = {"columns": {}, "left_out": {}, "min_patients": 10, "comparisons": 12, "shown": 1}
    assert headlines({"subgroups": gaps}) == {"subgroups/comparisons": 12, "subgroups/shown": 1}
