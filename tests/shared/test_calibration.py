"""Calibration against scikit-learn and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from stages.shared.measures import calibration, reliability
from stages.shared.measures.statistics import once


def made_up(classes: int, n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities that are too sure and favour the last class, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), truth] += 1.2
    return calibration.log_softmax(2.5 * logits + 0.8 * np.arange(classes)), truth


class AsItIs(ClassifierMixin, BaseEstimator):
    """scikit-learn's wrapper calibrates what `decision_function` gives."""

    def __init__(self, classes: int = 2) -> None:
        self.classes = classes

    def fit(self, x: np.ndarray, y: np.ndarray) -> AsItIs:
        self.classes_ = np.arange(self.classes)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(axis=1)

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return calibration.log_odds(x).T.squeeze()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("method", "name"), [("platt", "sigmoid"), ("isotonic", "isotonic")])
def test_platt_and_isotonic_are_those_of_scikit_learn(classes, method, name):
    log_probabilities, truth = made_up(classes)
    unseen, _ = made_up(classes, seed=1)
    model = FrozenEstimator(AsItIs(classes).fit(log_probabilities, truth))
    reference = CalibratedClassifierCV(model, method=name).fit(log_probabilities, truth)
    own = calibration.fit(method, log_probabilities, truth)
    assert own.method == method
    np.testing.assert_allclose(own.apply(unseen), reference.predict_proba(unseen), atol=2e-5)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_temperature_is_where_torch_finds_the_least_log_loss(classes):
    log_probabilities, truth = made_up(classes)
    x, y = torch.tensor(log_probabilities), torch.tensor(truth)
    log_temperature = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(x / log_temperature.exp(), y)
        value.backward()
        return value

    optimizer.step(loss)
    own = calibration.fit("temperature", log_probabilities, truth)
    assert own.parameters["temperature"] == pytest.approx(log_temperature.exp().item(), rel=1e-4)
    assert own.parameters["temperature"] > 1.5  # too sure
    calibrated = own.apply(log_probabilities)
    assert (calibrated.argmax(axis=1) == log_probabilities.argmax(axis=1)).all()
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)


def test_what_cannot_be_fitted_says_why_and_changes_nothing():
    log_probabilities, truth = made_up(2)
    for few, answers, reason in [
        (log_probabilities[:9], truth[:9], "temperature needs 10 validation images, and there are 9"),
        (log_probabilities, np.zeros_like(truth), "1 of 2 classes have no validation image"),
    ]:
        own = calibration.fit("temperature", few, answers)
        assert (own.method, own.reason) == ("none", reason)
        np.testing.assert_allclose(own.apply(few), np.exp(few))


def test_a_temperature_without_an_optimum_says_that_it_is_at_the_limit():
    truth = np.arange(20) % 2
    log_probabilities = calibration.log_softmax(np.stack([1.0 - truth, truth], axis=1))
    assert calibration.fit("temperature", log_probabilities, truth).parameters["at_limit"]
    assert not calibration.fit("temperature", *made_up(2)).parameters["at_limit"]


def test_log_odds_of_a_model_that_is_sure_are_exact():
    log_probabilities = calibration.log_softmax(np.array([[0.0, 60.0], [-45.0, 0.0]]))
    np.testing.assert_allclose(calibration.log_odds(log_probabilities), [[60.0, 45.0]])


@pytest.mark.parametrize("classes", [2, 3])
def test_the_calibration_error_is_that_of_torchmetrics_also_with_weights(classes):
    log_probabilities, truth = made_up(classes, n=120)
    probabilities = np.exp(log_probabilities)
    weights = np.random.default_rng(2).integers(0, 4, size=(3, 120))
    for own, times in zip(reliability.ece(probabilities, truth, weights), weights, strict=True):
        p, y = (torch.tensor(np.repeat(values, times, axis=0)) for values in (probabilities, truth))
        if classes == 2:
            reference = binary_calibration_error(p[:, 1], y, n_bins=15)
        else:
            reference = multiclass_calibration_error(p, y, num_classes=classes, n_bins=15)
        assert own == pytest.approx(float(reference), abs=1e-6)


def test_adaptive_bins_hold_the_same_number_of_images():
    bins = reliability.equal_size(np.random.default_rng(0).random(150))
    assert np.bincount(bins).tolist() == [10] * 15
    assert len(np.unique(reliability.equal_size(np.full(150, 0.3)))) == 1


def test_brier_and_log_loss_are_those_of_scikit_learn():
    for classes in (2, 3):
        log_probabilities, truth = made_up(classes)
        probabilities = np.exp(log_probabilities)
        reference = sk.brier_score_loss(truth, probabilities[:, 1] if classes == 2 else probabilities)
        assert reliability.brier(probabilities, truth).mean() == pytest.approx(reference)
        assert reliability.log_loss(probabilities, truth).mean() == pytest.approx(sk.log_loss(truth, probabilities))


def test_chance_alone_gives_the_calibration_error_that_is_expected_of_a_perfect_model():
    rng = np.random.default_rng(5)
    score = rng.random(200)
    errors = [
        reliability.ece(np.stack([1 - score, score], 1), (rng.random(200) < score).astype(int), once(200))[0]
        for _ in range(400)
    ]
    assert reliability.expected_error(score, seed=0) == pytest.approx(np.mean(errors), rel=0.05)


def test_slope_and_intercept_are_those_of_logistic_regressions():
    log_probabilities, truth = made_up(2)
    (odds,), outcome = calibration.log_odds(log_probabilities), truth == 1
    own = reliability.line(odds, outcome)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(odds[:, None], outcome)
    assert own.slope == pytest.approx(float(reference.coef_[0, 0]), rel=1e-4)
    assert own.own == pytest.approx(float(reference.intercept_[0]), abs=1e-4)
    shifted = 1 / (1 + np.exp(-(odds + own.intercept)))
    assert shifted.mean() == pytest.approx(outcome.mean())
    slope, intercept = own.drawn(once(len(odds)) @ own.columns(odds, outcome))
    assert (slope[0], intercept[0]) == (pytest.approx(own.slope), pytest.approx(own.intercept))


def test_one_step_of_a_draw_has_the_spread_of_whole_fits():
    log_probabilities, truth = made_up(2, n=200, seed=3)
    (odds,), outcome = calibration.log_odds(log_probabilities), truth == 1
    weights = np.random.default_rng(0).multinomial(200, np.full(200, 1 / 200), size=150)
    own = reliability.line(odds, outcome)
    slope, intercept = own.drawn(weights @ own.columns(odds, outcome))
    again = [reliability.line(np.repeat(odds, times), np.repeat(outcome, times)) for times in weights]
    assert np.std(slope) == pytest.approx(np.std([each.slope for each in again]), rel=0.25)
    assert np.std(intercept) == pytest.approx(np.std([each.intercept for each in again]), rel=0.15)
    assert np.corrcoef(slope, [each.slope for each in again])[0, 1] > 0.95


def test_a_slope_is_not_defined_where_log_odds_tell_both_apart():
    own = reliability.line(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True]))
    assert np.isnan(own.slope)
    assert own.intercept == pytest.approx(0, abs=1e-9)
    assert np.isnan(reliability.line(np.array([-1.0, 1.0]), np.array([True, True])).intercept)
