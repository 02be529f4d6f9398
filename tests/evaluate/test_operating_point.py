"""The operating point: chosen on validation, recomputed from the table with scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from stages.evaluate import Params
from stages.evaluate.evidence import SECTIONS, abstention, uncertainty
from stages.evaluate.evidence.evidence import Evidence, headlines
from stages.evaluate.evidence.operating_point import of_anomalies, of_classes
from stages.shared.core.errors import UserError
from stages.shared.measures import MEASURES
from stages.shared.measures.classification import Answers
from stages.shared.measures.judge import Resampling, judge
from stages.shared.measures.truth import NO_TRUTH
from stages.shared.tasks.classification import predictions

from . import made_up

HOW = Resampling(200, 0.95, seed=0)


def raw(classes: int = 2, images: int = 400) -> pd.DataFrame:
    """A model whose probabilities are too low for every class but the first; two images a patient, 150 validate."""
    rng = np.random.default_rng(4)
    index, truth, names = made_up.images(images, classes, 150, rng)
    logits = rng.normal(size=(images, classes)) + 1.5 * np.eye(classes)[truth] + 2.5 * np.eye(classes)[0]
    values = np.exp(logits)
    return predictions(index, values / values.sum(axis=1, keepdims=True), names).assign(split=index["split"])


def evidence(table: pd.DataFrame, task: str = "classification", **params: object) -> Evidence:
    own = Params.model_validate(params)
    table = MEASURES[task].scored(table, None, NO_TRUTH, own)
    return Evidence(own, table, HOW, None, None, None, np.arange(len(table)))  # type: ignore[arg-type]


def test_the_point_is_recomputed_from_the_table_by_scikit_learn():
    own = evidence(raw())
    section = of_classes(own)
    json.dumps(section, allow_nan=False)
    points = {section["rule"]: section, **section["others"]}
    assert list(points) == ["youden", "sensitivity", "specificity", "cost", "0.5"]
    for split, rows in (("validation", own.validation), ("test", own.test)):
        truth = (rows["label"] == "class_1").to_numpy()
        for rule, point in points.items():
            called = (rows["prob_class_1"] > point["threshold"]).to_numpy()
            expected = {
                "sensitivity": sk.recall_score(truth, called), "specificity": sk.recall_score(~truth, ~called),
                "accuracy": sk.accuracy_score(truth, called), "f1": sk.f1_score(truth, called),
                "balanced_accuracy": sk.balanced_accuracy_score(truth, called),
            }  # fmt: skip
            if split == "test":
                expected |= {"ppv": sk.precision_score(truth, called), "npv": sk.precision_score(~truth, ~called)}
            assert point[split].keys() == expected.keys()
            for name, value in expected.items():
                ours = point[split][name] if split == "validation" else point[split][name]["value"]
                assert ours == pytest.approx(value), (rule, split, name)
    assert section["chosen_on"] == {"images": 150, "patients": 75}
    assert section["positives"] == (own.validation["label"] == "class_1").sum()
    assert headlines({"operating_point": section})["operating_point/test/ppv"] == section["test"]["ppv"]["value"]


def test_the_predicted_class_and_the_metrics_are_those_of_the_point():
    own = evidence(raw())
    section, numbers = of_classes(own), judge(own.table, MEASURES["classification"], HOW).numbers["test"]
    threshold = own.table["threshold"].unique()
    assert list(threshold) == [section["threshold"]]
    assert threshold[0] < 0.4  # the probabilities are too low
    assert ((own.table["prob_class_1"] > threshold[0]) == (own.table["predicted"] == "class_1")).all()
    for name in ("sensitivity", "specificity", "accuracy", "balanced_accuracy", "f1"):
        assert section["test"][name] == pytest.approx(numbers[name]), name
    assert numbers["sensitivity"]["value"] > section["others"]["0.5"]["test"]["sensitivity"]["value"] + 0.2


def test_what_lies_at_the_threshold_is_the_least_certain():
    """As with log-odds: their distance from those of the threshold orders the images."""
    own = evidence(raw())
    test, at = own.test, float(own.table["threshold"].iloc[0])
    odds, apart = np.log(test["prob_class_1"]) - np.log(test["prob_class_0"]), np.log(at / (1 - at))
    confidence = Answers(test).confidence
    assert confidence == pytest.approx(1 / (1 + np.exp(-np.abs(odds - apart))), abs=1e-5)
    assert confidence.min() >= 0.5
    wrong = (test["label"].astype(str) != test["predicted"].astype(str)).to_numpy()
    section = abstention.section(own)
    assert section["finds_errors"]["value"] == pytest.approx(sk.roc_auc_score(wrong, -np.abs(odds - apart)), abs=1e-4)
    assert uncertainty.section(own)["confidence"] == section["finds_errors"]
    kept = confidence >= section["limit"]
    assert section["kept"]["accuracy"]["value"] == pytest.approx((~wrong[kept]).mean())
    at_half = Answers(test.assign(threshold=0.5, predicted=np.where(odds > 0, "class_1", "class_0"))).confidence
    assert at_half == pytest.approx(test[["prob_class_0", "prob_class_1"]].max(axis=1).to_numpy())


@pytest.mark.parametrize("at", [0.0, 1.0])
def test_confidence_is_defined_at_any_threshold(at):
    table = raw().assign(threshold=at, prob_class_0=lambda t: 1.0 - at, prob_class_1=at, predicted="class_0")
    assert np.isfinite(Answers(table).confidence).all()


@pytest.mark.parametrize("rule", ["youden", "sensitivity", "specificity", "cost"])
def test_test_labels_and_scores_choose_nothing(rule):
    table = raw()
    test, rng = (table["split"] == "test").to_numpy(), np.random.default_rng(1)
    other = table.copy()
    other.loc[test, "label"] = rng.permutation(table.loc[test, "label"].astype(str))
    other.loc[test, "prob_class_1"] = rng.random(test.sum())
    first, second = (evidence(each, operating_point={"rule": rule}) for each in (table, other))
    assert first.table["threshold"].unique().tolist() == second.table["threshold"].unique().tolist()
    one, two = of_classes(first), of_classes(second)
    assert [p["threshold"] for p in one["others"].values()] == [p["threshold"] for p in two["others"].values()]
    assert one["validation"] == two["validation"]
    changed = table.assign(prob_class_1=np.where(test, table["prob_class_1"], table["prob_class_1"] ** 2))
    assert evidence(changed, operating_point={"rule": rule}).table["threshold"].iloc[0] != one["threshold"]


def test_of_several_classes_each_has_a_point_and_the_most_probable_one_is_predicted():
    table = raw(classes=3)
    own = evidence(table, prevalence={"class_2": 0.01})
    section = of_classes(own)
    assert (own.table["predicted"] == table["predicted"]).all()
    assert list(section["per_class"]) == ["class_0", "class_1", "class_2"]
    for name, point in section["per_class"].items():
        truth = own.test["label"] == name
        called = own.test[f"prob_{name}"] > point["threshold"]
        assert own.table[f"threshold_{name}"].unique().tolist() == [point["threshold"]]
        assert point["test"]["sensitivity"]["value"] == pytest.approx(sk.recall_score(truth, called))
        assert point["stated"] == (name == "class_2")
    rare = section["per_class"]["class_2"]
    sens, spec = (rare["test"][name]["value"] for name in ("sensitivity", "specificity"))
    assert rare["test"]["ppv"]["value"] == pytest.approx(0.01 * sens / (0.01 * sens + 0.99 * (1 - spec)))


def test_a_validation_split_of_one_class_falls_back_to_a_half_and_says_so():
    table = raw()
    table.loc[table["split"] == "val", "label"] = "class_0"
    own = evidence(table)
    section = of_classes(own)
    assert (section["threshold"], section["fallback"]) == (0.5, "there is no positive validation image")
    assert section["validation"]["sensitivity"] is None
    assert ((own.table["prob_class_1"] > 0.5) == (own.table["predicted"] == "class_1")).all()


def test_a_rule_of_anomalies_is_refused_for_classes():
    with pytest.raises(UserError, match=r"normal_quantile is a rule of task anomaly"):
        evidence(raw(), operating_point={"rule": "normal_quantile"})


def test_the_old_name_of_the_setting_says_the_new_one():
    with pytest.raises(ValueError, match=r"evaluate.operating_point decides now"):
        Params.model_validate({"threshold": {"rule": "youden"}})


def test_anomalies_have_the_same_rules_and_one_that_promises():
    table = raw().drop(columns=["prob_class_0", "prob_class_1", "predicted"])
    rng = np.random.default_rng(0)
    table["score"] = rng.normal(size=len(table)) + 2.0 * (table["label"] == "class_1")
    section = of_anomalies(evidence(table, "anomaly"))
    assert section["class"] == "anomalous"
    assert list(section["others"]) == ["sensitivity", "specificity", "cost", "normal_quantile"]
    few = table[(table["split"] == "test") | (table["label"] == "class_1") | (table.index < 20)]
    refused = of_anomalies(evidence(few.reset_index(drop=True), "anomaly"))["others"]["normal_quantile"]
    assert refused["threshold"] is None
    assert "normal validation images" in refused["fallback"]
    assert refused["test"] == {}


def test_what_compare_asks_for_is_what_evaluate_writes():
    for task, measures in MEASURES.items():
        assert set(measures.sections) <= SECTIONS[task].keys()
