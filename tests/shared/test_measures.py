"""Against scikit-learn, with and without the weights of a draw."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from stages.shared.measures import MEASURES, statistics
from stages.shared.measures.classification import measures, per_class
from stages.shared.measures.statistics import auroc, confusion, draws, interval, once, roc_curve


def table(targets, probs, predicted=None):
    names = [f"class {k}" for k in range(probs.shape[1])]
    predicted = probs.argmax(axis=1) if predicted is None else predicted
    return pd.DataFrame(
        {"label": pd.Categorical.from_codes(targets, names), "predicted": pd.Categorical.from_codes(predicted, names)}
        | {f"prob_{name}": probs[:, k] for k, name in enumerate(names)}
    )


def patient_weights(patients, replicates, seed):
    return np.concatenate(list(draws(patients, replicates, seed)))


def sample(classes, n=200, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, n)
    scores = np.round(rng.normal(size=(n, classes)) + 1.2 * np.eye(classes)[targets], 1)  # rounded: many ties
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return targets, probs, probs.argmax(axis=1), rng.multinomial(n, np.full(n, 1 / n), size=5).astype(float)


def reference(targets, probs, predicted, weight):
    """The same metrics by scikit-learn for one vector of weights."""
    classes = probs.shape[1]
    positives = [1] if classes == 2 else range(classes)
    rows = []
    for k in positives:
        truth, called = targets == k, predicted == k
        given = {"sample_weight": weight, "zero_division": np.nan}
        rows.append(
            {
                "sensitivity": sk.recall_score(truth, called, **given),
                "specificity": sk.recall_score(~truth, ~called, **given),
                "ppv": sk.precision_score(truth, called, **given),
                "npv": sk.precision_score(~truth, ~called, **given),
                "f1": sk.f1_score(truth, called, **given),
                "auroc": sk.roc_auc_score(truth, probs[:, k], sample_weight=weight),
                "auprc": sk.average_precision_score(truth, probs[:, k], sample_weight=weight),
            }
        )
    means = {name: np.mean([row[name] for row in rows]) for name in rows[0]}
    return {
        "accuracy": sk.accuracy_score(targets, predicted, sample_weight=weight),
        "balanced_accuracy": sk.balanced_accuracy_score(targets, predicted, sample_weight=weight),
        **means,
    }


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_every_metric_equals_scikit_learns_under_any_weights(classes):
    targets, probs, predicted, weights = sample(classes)
    values = measures(table(targets, probs), weights)
    assert list(values) == list(MEASURES["classification"].metrics)
    for r, weight in enumerate(weights):
        expected = reference(targets, probs, predicted, weight)
        assert values.keys() == expected.keys()
        for name, value in expected.items():
            assert values[name][r] == pytest.approx(value, abs=1e-12), name


def test_a_draw_without_a_class_gives_nan_and_not_a_number_made_up():
    targets, probs = np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]])
    values = measures(table(targets, probs), np.array([[1.0, 1.0, 0.0]]))
    assert np.isnan(values["auroc"][0])
    assert np.isnan(values["auprc"][0])
    assert np.isnan(values["sensitivity"][0])
    assert values["specificity"][0] == 1.0


@pytest.mark.parametrize("weighted", [False, True])
def test_per_class_equals_scikit_learns_report(weighted):
    targets, probs, predicted, weights = sample(3)
    weights = weights[:1] if weighted else once(len(targets))
    expected = sk.classification_report(targets, predicted, sample_weight=weights[0], output_dict=True)
    for (name, metric), values in per_class(table(targets, probs), weights).items():
        theirs = expected[name.removeprefix("class ")]["f1-score" if metric == "f1" else metric]
        assert values == pytest.approx([theirs]), (name, metric)


def test_a_weight_counts_an_image_that_many_times():
    targets, probs, _, weights = sample(2)
    expected = [
        sk.roc_auc_score(np.repeat(targets, w), np.repeat(probs[:, 1], w)) for w in weights.astype(int)
    ]  # fmt: skip
    assert auroc(targets == 1, probs[:, 1], weights) == pytest.approx(expected)


def test_confusion_counts_equal_scikit_learns():
    targets, _, predicted, weights = sample(5)
    counts = confusion(targets, predicted, 5, weights)
    for r, weight in enumerate(weights):
        assert (counts[r] == sk.confusion_matrix(targets, predicted, sample_weight=weight)).all()
    few = confusion(targets[targets < 2], targets[targets < 2], 5, once(int((targets < 2).sum())))
    assert (few[0] == np.diag([(targets == 0).sum(), (targets == 1).sum(), 0, 0, 0])).all()


def test_the_roc_curve_has_scikit_learns_corners_and_area():
    rng = np.random.default_rng(3)
    positive = rng.random(200) < 0.4
    score = np.round(positive * 0.8 + rng.normal(size=200), 1)
    fpr, tpr = roc_curve(positive, score)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert sk.auc(fpr, tpr) == pytest.approx(sk.roc_auc_score(positive, score))
    theirs = sk.roc_curve(positive, score, drop_intermediate=True)
    points = set(zip(np.round(theirs[0], 9), np.round(theirs[1], 9), strict=True))
    assert set(zip(np.round(fpr, 9), np.round(tpr, 9), strict=True)) <= points


def test_the_precision_recall_curve_is_scikit_learns_and_has_the_average_precision_below_it():
    targets, probs, _, _ = sample(2)
    recall, precision = statistics.precision_recall_curve(targets == 1, probs[:, 1])
    theirs_precision, theirs_recall, _ = sk.precision_recall_curve(targets, probs[:, 1])
    theirs = set(zip(theirs_recall.round(9), theirs_precision.round(9), strict=True))
    assert set(zip(recall[1:].round(9), precision[1:].round(9), strict=True)) <= theirs
    assert recall[0] == 0
    assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(sk.average_precision_score(targets, probs[:, 1]))


def test_draws_take_whole_patients_and_always_as_many(monkeypatch):
    patients = ["a", "a", "a", "b", "b", "c"]
    monkeypatch.setattr(statistics, "CHUNK", 60)
    chunks = list(draws(patients, 25, seed=1))
    weights = np.concatenate(chunks)
    assert len(chunks) == 3
    assert weights.shape == (25, 6)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 3, 5]].sum(1) == 3).all()


def test_draws_depend_on_the_patients_and_the_seed_not_on_the_order_of_the_images():
    patients = np.array(["a", "a", "b", "c", "c", "c"])
    order = np.array([5, 0, 2, 1, 4, 3])
    one, other = patient_weights(patients, 20, 0), patient_weights(patients[order], 20, 0)
    assert (one[:, order] == other).all()
    assert (one != patient_weights(patients, 20, 1)).any()


def test_many_images_of_one_patient_widen_the_interval():
    """Forty images as forty patients, or as ten patients of four equal images each: the truth knows only ten."""
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(10) < 0.7, 4)
    targets = np.tile([0, 1], 20)
    rows = table(targets, np.eye(2)[np.where(right, targets, 1 - targets)])
    widths = []
    for patients in (np.arange(40), np.repeat(np.arange(10), 4)):
        low, high = interval(measures(rows, patient_weights(patients, 2000, 0))["accuracy"], 0.95)
        widths.append(high - low)
    assert widths[1] / widths[0] == pytest.approx(2, rel=0.2)  # √4


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """300 studies of 120 patients with a true accuracy of .8."""
    rng = np.random.default_rng(1)
    hits = 0
    for study in range(300):
        right = rng.random(120) < 0.8
        targets = rng.integers(0, 2, 120)
        rows = table(targets, np.eye(2)[np.where(right, targets, 1 - targets)])
        low, high = interval(measures(rows, patient_weights(np.arange(120), 300, study))["accuracy"], 0.95)
        hits += low <= 0.8 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_an_interval_leaves_out_draws_without_a_value():
    assert interval(np.array([np.nan, 1.0, 2.0, 3.0, np.nan]), 0.5) == (1.5, 2.5)
    assert np.isnan(interval(np.array([np.nan]), 0.95)).all()
