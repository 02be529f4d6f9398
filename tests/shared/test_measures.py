"""Against scikit-learn, with and without the weights of a draw."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as sk

from stages.shared.measures import MEASURES, intervals, statistics
from stages.shared.measures.classification import measures, per_class
from stages.shared.measures.intervals import (
    Support,
    area_spread,
    binomial_spread,
    cochran,
    draws,
    percentile_interval,
    rate_interval,
    score_interval,
    support,
)  # fmt: skip
from stages.shared.measures.statistics import agreement, auroc, confusion, once, roc_curve


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
                **at_fixed(truth, probs[:, k], weight),
            }
        )
    means = {name: np.mean([row[name] for row in rows]) for name in rows[0]}
    given = {"sample_weight": weight, "labels": range(classes)}
    return {
        "mcc": sk.matthews_corrcoef(targets, predicted, sample_weight=weight),
        "kappa": sk.cohen_kappa_score(targets, predicted, sample_weight=weight),
        "brier": sk.brier_score_loss(targets, probs if classes > 2 else probs[:, 1], **given),
        "log_loss": sk.log_loss(targets, probs, **given),
        "accuracy": sk.accuracy_score(targets, predicted, sample_weight=weight),
        "balanced_accuracy": sk.balanced_accuracy_score(targets, predicted, sample_weight=weight),
        **means,
    }


def at_fixed(truth, score, weight):
    """The best of the points of scikit-learn's ROC curve."""
    fpr, tpr, _ = sk.roc_curve(truth, score, sample_weight=weight, drop_intermediate=False)
    names = {90: 0.90 - 1e-9, 95: 0.95 - 1e-9}
    return {f"sensitivity_at_{name}": tpr[1 - fpr >= least].max() for name, least in names.items()} | {
        f"specificity_at_{name}": (1 - fpr)[tpr >= least].max() for name, least in names.items()
    }


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_every_metric_equals_scikit_learns_under_any_weights(classes):
    targets, probs, predicted, weights = sample(classes)
    values = measures(table(targets, probs), weights)
    assert list(values) == list(MEASURES["classification"].metrics)
    for r, weight in enumerate(weights):
        expected = reference(targets, probs, predicted, weight)
        assert values.keys() == {*expected, "ece"}  # test_calibration.py has that one
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
    ours = per_class(table(targets, probs), weights)
    for name, rows in ((name, expected[str(k)]) for k, name in enumerate(("class 0", "class 1", "class 2"))):
        for metric, theirs in rows.items():
            assert ours[name, metric.replace("f1-score", "f1")] == pytest.approx([theirs]), (name, metric)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_other_metrics_of_a_class_are_those_of_that_class_against_the_rest(classes):
    targets, probs, predicted, weights = sample(classes)
    ours = per_class(table(targets, probs), weights)
    for k in range(classes):
        truth, own = targets == k, np.stack([1 - probs[:, k], probs[:, k]], axis=1)
        for r, weight in enumerate(weights):
            expected = reference(truth.astype(int), own, (predicted == k).astype(int), weight)
            names = ["specificity", "npv", "mcc", "kappa", "brier", "log_loss"]
            names += ["auroc", "auprc", *at_fixed(truth, own[:, 1], weight)] if classes > 2 else []
            for metric in names:
                assert ours[f"class {k}", metric][r] == pytest.approx(expected[metric], abs=1e-12), metric


def test_agreement_of_a_model_that_calls_one_class_is_none_and_without_two_classes_it_is_not_defined():
    called = np.array([[[30.0, 0.0], [10.0, 0.0]], [[40.0, 0.0], [0.0, 0.0]]])
    coefficient, kappa = agreement(called)
    assert coefficient[0] == kappa[0] == 0
    assert np.isnan([coefficient[1], kappa[1]]).all()


def test_a_certain_wrong_answer_costs_what_scikit_learn_says():
    """The logarithm of 0 is limited."""
    rows = table(np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert measures(rows, once(2))["log_loss"][0] == pytest.approx(sk.log_loss([0, 1], [[1.0, 0.0], [1.0, 0.0]]))


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
    monkeypatch.setattr(intervals, "CHUNK", 60)
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
        low, high = percentile_interval(measures(rows, patient_weights(patients, 2000, 0))["accuracy"], 0.95)
        widths.append(high - low)
    assert widths[1] / widths[0] == pytest.approx(2, rel=0.2)  # √4


@pytest.mark.parametrize(("right", "n"), [(0, 36), (36, 36), (35, 36), (3, 10), (60, 120)])
def test_the_score_interval_of_a_proportion_is_wilsons(right: int, n: int):
    ours = score_interval(right / n, n, stats.norm.ppf(0.975), binomial_spread)
    theirs = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_the_score_interval_of_an_area_solves_hanley_and_mcneils_variance():
    """Both ends lie as many of *their* standard errors from the estimate as the quantile says."""
    m, n, area = 400, 400, 0.93
    for end in score_interval(area, m + n, 1.96, area_spread):
        q1, q2 = end / (2 - end), 2 * end**2 / (1 + end)
        variance = (end * (1 - end) + (m - 1) * (q1 - end**2) + (n - 1) * (q2 - end**2)) / (m * n)
        assert abs(area - end) / variance**0.5 == pytest.approx(1.96, rel=0.01)


def test_support_counts_images_clusters_and_degrees_of_freedom():
    clusters = np.array([0, 0, 0, 1, 2, 3])
    first = np.array([True, True, True, True, False, False])
    assert support([first], clusters) == Support(4, 16 / 10, 1)  # of 3 and 1 images
    both = support([first, ~first], clusters)
    assert both == Support(4 / (1 / 4 + 1 / 2), 4 / (10 / 16 + 1 / 2), 1 + 1)
    assert np.isnan(support([first & ~first], clusters).clusters)


def test_variances_add_up_and_each_has_its_own_quantile():
    """Cochran and Cox's approximate t: (w1 t1 + w2 t2) / (w1 + w2)."""
    variance, quantile = cochran([(0.3, 4), (0.1, 1)], 0.975)
    t1, t2 = stats.t.ppf(0.975, [4, 1])
    assert (variance, quantile) == pytest.approx((0.4, (0.3 * t1 + 0.1 * t2) / 0.4))
    assert cochran([(0.0, 4), (0.0, 1)], 0.975) == (0, 0)


@pytest.mark.parametrize("truth", [0.8, 0.99])
def test_the_interval_covers_the_truth_as_often_as_it_says(truth: float):
    """300 studies of 36 patients with one or two images each, both right or both wrong."""
    rng, hits = np.random.default_rng(1), 0
    for study in range(300):
        patients = np.repeat(np.arange(36), rng.integers(1, 3, 36))
        right = (rng.random(36) < truth)[patients]
        targets = rng.integers(0, 2, len(right))
        rows = table(targets, np.eye(2)[np.where(right, targets, 1 - targets)])
        values = measures(rows, patient_weights(patients, 200, study))["accuracy"]
        own = support([np.ones(len(right), bool)], patients)
        low, high = rate_interval(right.mean(), values, own, binomial_spread, 0.95)
        hits += low <= truth <= high
    assert 0.92 <= hits / 300 <= 0.99


@pytest.mark.parametrize("value", [1 / 3, 2 / 3, 0.92])
def test_draws_that_differ_by_rounding_alone_are_equal_draws(value: float):
    """A model that calls one of three classes: 1/3 on every draw, whose variance is 3e-33 and not 0."""
    rests_on = Support(90, 90, 87)
    low, high = rate_interval(value, np.full(10_000, value), rests_on, binomial_spread, 0.95)
    assert (low, high) == pytest.approx(score_interval(value, 90, stats.t.ppf(0.975, 87), binomial_spread))


def test_an_interval_leaves_out_draws_without_a_value():
    assert percentile_interval(np.array([np.nan, 1.0, 2.0, 3.0, np.nan]), 0.5) == (1.5, 2.5)
    assert np.isnan(percentile_interval(np.array([np.nan]), 0.95)).all()
    some = np.array([0.5, 0.7, 0.9])
    own = Support(20, 10, 9)
    whole = rate_interval(0.7, np.r_[some, np.nan], own, binomial_spread, 0.95)
    assert whole == rate_interval(0.7, some, own, binomial_spread, 0.95)
    assert np.isnan(rate_interval(np.nan, some, own, binomial_spread, 0.95)).all()
