"""Against scikit-learn, with and without the weights of a resample."""

import numpy as np
import pytest
from sklearn import metrics as sk

from stages.evaluate.metrics import NAMES, metrics, per_class
from stages.shared.measures.statistics import draws, interval


def patient_weights(patients, resamples, seed):
    return np.concatenate(list(draws(patients, resamples, seed)))


def intervals(values, confidence):
    return {name: interval(sample, confidence) for name, sample in values.items()}


def draw(classes, n=200, seed=0):
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
        truth, said = targets == k, predicted == k
        given = {"sample_weight": weight, "zero_division": np.nan}
        rows.append(
            {
                "sensitivity": sk.recall_score(truth, said, **given),
                "specificity": sk.recall_score(~truth, ~said, **given),
                "ppv": sk.precision_score(truth, said, **given),
                "npv": sk.precision_score(~truth, ~said, **given),
                "f1": sk.f1_score(truth, said, **given),
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
    targets, probs, predicted, weights = draw(classes)
    found = metrics(targets, probs, predicted, weights)
    assert tuple(found) == NAMES
    for r, weight in enumerate(weights):
        for name, value in reference(targets, probs, predicted, weight).items():
            assert found[name][r] == pytest.approx(value, abs=1e-12), name


def test_a_resample_without_a_class_gives_nan_and_not_a_number_made_up():
    targets, probs = np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]])
    found = metrics(targets, probs, probs.argmax(axis=1), np.array([[1.0, 1.0, 0.0]]))
    assert np.isnan(found["auroc"][0])
    assert np.isnan(found["sensitivity"][0])
    assert found["specificity"][0] == 1.0


def test_the_bootstrap_draws_patients_whole():
    patients = np.array(["a", "a", "b", "c", "c", "c"])
    weights = patient_weights(patients, resamples=50, seed=0)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_many_films_of_one_patient_widen_the_interval():
    """Forty films as forty patients, or as ten patients of four equal films each: the truth knows only ten."""
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(10) < 0.7, 4)
    targets = np.tile([0, 1], 20)
    predicted = np.where(right, targets, 1 - targets)
    probs = np.eye(2)[predicted]
    widths = []
    for patients in (np.arange(40), np.repeat(np.arange(10), 4)):
        low, high = intervals(metrics(targets, probs, predicted, patient_weights(patients, 2000, 0)), 0.95)["accuracy"]
        widths.append(high - low)
    assert widths[1] / widths[0] == pytest.approx(2, rel=0.2)  # √4


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """300 studies of 120 patients with a true accuracy of .8."""
    rng = np.random.default_rng(1)
    hits = 0
    for study in range(300):
        right = rng.random(120) < 0.8
        targets = rng.integers(0, 2, 120)
        predicted = np.where(right, targets, 1 - targets)
        weights = patient_weights(np.arange(120), 300, study)
        low, high = intervals(metrics(targets, np.eye(2)[predicted], predicted, weights), 0.95)["accuracy"]
        hits += low <= 0.8 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_per_class_equals_scikit_learns_report():
    targets, _, predicted, _ = draw(3)
    expected = sk.classification_report(targets, predicted, target_names=["a", "b", "c"], output_dict=True)
    for name, row in per_class(targets, predicted, ["a", "b", "c"]).items():
        assert row["precision"] == pytest.approx(expected[name]["precision"])
        assert row["recall"] == pytest.approx(expected[name]["recall"])
        assert row["f1"] == pytest.approx(expected[name]["f1-score"])
        assert row["support"] == expected[name]["support"]
