"""Conformal sets against MAPIE and a planted deck, net benefit and risk–coverage against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from stages.shared.measures import benefit, conformal, selective
from stages.shared.measures.statistics import once


def made_up(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and the truth."""
    rng = np.random.default_rng(seed)
    truth, logits = rng.integers(classes, size=n), rng.normal(size=(n, classes))
    logits[np.arange(n), truth] += 1.5
    values = np.exp(logits)
    return values / values.sum(axis=1, keepdims=True), truth


class Given(ClassifierMixin, BaseEstimator):
    """Its probabilities are its inputs."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> Given:
        self.classes_ = np.arange(x.shape[1])
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(axis=1)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_sets_are_those_of_mapie(classes, coverage):
    (seen, truth), (unseen, _) = made_up(90, classes, 1), made_up(200, classes, 2)
    reference = SplitConformalClassifier(
        Given().fit(seen, truth), confidence_level=coverage, conformity_score="lac", prefit=True
    )
    reference.conformalize(seen, truth)
    limits = conformal.limits(conformal.lac(seen), truth, coverage, by_class=False)
    assert (reference.predict_set(unseen)[1][:, :, 0] == (conformal.lac(unseen) <= limits)).all()


def test_adaptive_scores_add_up_the_more_probable_classes():
    scores = conformal.aps(np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]))
    np.testing.assert_allclose(scores, [[1.0, 0.5, 0.8], [0.6, 1.0, 0.9]])


@pytest.mark.parametrize("score", ["lac", "aps"])
@pytest.mark.parametrize("by_class", [False, True])
def test_the_promise_holds_on_average_over_decks(score, by_class):
    """Also for a rare class, if each class has its own limit."""
    covered, rare = [], []
    for deal in range(300):
        probabilities, truth = made_up(240, 3, seed=deal)
        keep = (truth != 2) | (np.arange(240) % 3 == 0)
        probabilities, truth = probabilities[keep], truth[keep]
        probabilities = probabilities * np.array([1.0, 1.0, 0.3])  # a model that favours the frequent classes
        scores, half = conformal.SCORES[score](probabilities / probabilities.sum(1, keepdims=True)), len(truth) // 2
        limits = conformal.limits(scores[:half], truth[:half], 0.9, by_class)
        inside = (scores[half:] <= limits)[np.arange(len(truth) - half), truth[half:]]
        covered.append(inside.mean())
        rare.append(inside[truth[half:] == 2].mean())
    assert 0.895 < np.mean(covered) < 0.95
    if by_class:
        assert 0.895 < np.mean(rare) < 0.99
    else:
        assert np.mean(rare) < 0.85


@pytest.mark.parametrize(("images", "finite"), [(8, False), (9, True)])
def test_too_few_images_rule_nothing_out(images, finite):
    assert math.isfinite(conformal.limit(np.arange(images) / 10, 0.9)) == finite


def test_net_benefit_is_what_its_definition_counts():
    """Vickers & Elkin 2006: true positives / n - false positives / n · t / (1 - t)."""
    rng, thresholds = np.random.default_rng(0), np.array([0.1, 0.25, 0.6])
    positive, probability = rng.random(80) < 0.3, np.round(rng.random(80), 2)
    own, everyone = (part.mean(axis=0) for part in (
        benefit.terms(positive, probability, thresholds), benefit.worth(positive, thresholds)
    ))  # fmt: skip
    for i, t in enumerate(thresholds):
        tp = sum(1 for y, p in zip(positive, probability, strict=True) if y and p >= t)
        fp = sum(1 for y, p in zip(positive, probability, strict=True) if not y and p >= t)
        assert own[i] == pytest.approx(tp / 80 - fp / 80 * t / (1 - t))
        assert everyone[i] == pytest.approx(positive.mean() - (1 - positive.mean()) * t / (1 - t))


def test_a_model_acts_where_its_probability_reaches_the_threshold():
    assert benefit.terms(np.array([True]), np.array([0.5]), np.array([0.5, 0.51])).tolist() == [[1.0, 0.0]]


def test_the_area_is_the_mean_risk_over_images_also_with_weights():
    rng = np.random.default_rng(1)
    wrong, confidence = rng.random(60) < 0.25, rng.random(60)
    weights = rng.integers(0, 4, size=(3, 60))
    for own, times in zip(selective.area(wrong, confidence, weights), weights, strict=True):
        errors, sure = np.repeat(wrong, times), np.repeat(confidence, times)
        risks = [errors[sure >= own].mean() for own in sure]
        assert own == pytest.approx(np.mean(risks))
    assert selective.area(wrong, np.full(60, 0.7), once(60))[0] == pytest.approx(wrong.mean())


def test_the_most_certain_share_is_kept():
    confidence = np.random.default_rng(0).random(40)
    for share in (0.05, 0.5, 0.9, 1.0):
        assert (confidence >= selective.at_least(confidence, share)).sum() == round(share * 40)
    assert (np.full(10, 0.5) >= selective.at_least(np.full(10, 0.5), 0.3)).all()
