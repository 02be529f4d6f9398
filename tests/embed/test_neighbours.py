"""Neighbours, their votes and suspected leaks, on features made up for the purpose."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier

from stages.embed.knn import answered, choose, votes
from stages.embed.leaks import bound, suspects
from stages.embed.neighbours import Neighbours, nearest
from stages.shared.measures import MEASURES
from stages.shared.measures.judge import Resampling, judge

CLASSES = ["normal", "sick"]
TASK = MEASURES["classification"]


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_neighbours_are_those_of_a_search_by_hand_and_never_of_the_same_group():
    rng = np.random.default_rng(0)
    queries, candidates = unit(rng.normal(size=(40, 6))), unit(rng.normal(size=(90, 6)))
    own, groups = rng.integers(0, 10, 40), rng.integers(0, 10, 90)
    close = nearest(queries, own, candidates, groups, 7)
    assert (groups[close.rows] != own[:, None]).all()
    for i, query in enumerate(queries):
        others = np.flatnonzero(groups != own[i])
        order = others[np.argsort(-(candidates[others] @ query))][:7]
        assert close.rows[i].tolist() == order.tolist()
        assert close.cosines[i] == pytest.approx(candidates[order] @ query, abs=1e-6)


def test_where_a_group_has_nearly_all_candidates_the_missing_neighbours_have_no_vote():
    features = unit(np.array([[1, 0], [1, 0.1], [0, 1]]))
    close = nearest(features[:1], np.array([0]), features, np.array([0, 0, 1]), 3)
    assert np.isfinite(close.cosines).sum() == 1
    assert votes(close, np.array([0, 0, 1]), 2).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("k", [1, 4, 15])
def test_the_classifier_is_scikit_learns(k):
    rng = np.random.default_rng(1)
    features, labels = unit(rng.normal(size=(300, 8))), rng.integers(0, 3, 300)
    train, test = slice(0, 200), slice(200, 300)
    reference = KNeighborsClassifier(k, weights="distance", metric="cosine").fit(features[train], labels[train])
    close = nearest(features[test], np.arange(200, 300), features[train], np.arange(200), k)
    assert votes(close, labels[train], 3) == pytest.approx(reference.predict_proba(features[test]), abs=1e-4)


def predictions(truth: np.ndarray, split: np.ndarray) -> pd.DataFrame:
    patients = [f"p{i}" for i in range(len(truth))]
    table = pd.DataFrame({"path": patients, "label": pd.Categorical.from_codes(truth, CLASSES), "patient": patients})
    table = table.assign(group=np.arange(len(truth)), split=split)
    return answered(table, np.full((len(truth), 2), 0.5), CLASSES)


def reached(labels: np.ndarray, truth: np.ndarray, features: np.ndarray) -> dict[str, float]:
    """The interval of the AUROC on the last 200 images; 200 are for validation, the others train."""
    close = nearest(features[200:], np.arange(200, 600), features[:200], np.arange(200), 50)
    table = predictions(truth[200:], np.repeat(["val", "test"], 200))
    choice = choose(table, close, labels, CLASSES, [1, 5, 15, 50, 500], TASK)
    voters = Neighbours(close.rows[:, : choice.k], close.cosines[:, : choice.k])
    table = answered(table, votes(voters, labels, 2), CLASSES)
    interval: dict[str, float] = judge(table, TASK, Resampling(300, 0.95, seed=0)).numbers["test"]["auroc"]
    return interval


def test_with_shuffled_labels_the_classifier_guesses():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 600)
    features = unit(rng.normal(size=(600, 5)) + 1.5 * truth[:, None])
    assert reached(truth[:200], truth, features)["low"] > 0.8
    guesses = [reached(rng.permutation(truth[:200]), truth, features)["value"] for _ in range(12)]
    assert abs(np.mean(guesses) - 0.5) < 3 * np.std(guesses) / len(guesses) ** 0.5 < 0.2


def test_the_number_of_neighbours_is_the_best_on_validation_and_of_equals_the_largest():
    """The nearest neighbour of each image is wrong, the next ten are right."""
    labels = np.array([1, *[0] * 10, 0, *[1] * 10])
    rows = np.stack([np.arange(11), np.arange(11, 22)] * 10)
    close = Neighbours(rows, np.broadcast_to(np.linspace(0.99, 0.5, 11, dtype=np.float32), rows.shape))
    table = predictions(np.tile([0, 1], 10), np.repeat(["val", "test"], 10))
    choice = choose(table, close, labels, CLASSES, [1, 5, 11, 40], TASK)
    assert choice.metric == "auroc"
    assert list(choice.validation) == [1, 5, 11]  # there are no more than 11 to ask
    assert choice.validation[1] == 0
    best = max(choice.validation.values())
    assert choice.k == max(k for k, value in choice.validation.items() if value == best)


def test_a_planted_duplicate_in_another_split_is_suspected_and_few_others_are():
    """Over many sets without a leak about `false_alarms` pairs are suspected; a crop of the same film always is."""
    rng, alarms, caught = np.random.default_rng(3), 0, 0
    use = np.repeat(["train", "val", "test"], [300, 60, 100])
    for _ in range(60):
        features = rng.normal(size=(460, 6))
        clean, limit = suspects(unit(features), np.arange(460), use, 0.1)
        alarms += len(clean)
        features[400] = features[7] + 0.02 * rng.normal(size=6)
        pairs, limit = suspects(unit(features), np.arange(460), use, 0.1)
        caught += ((pairs["row"] == 400) & (pairs["other"] == 7)).any()
        assert (pairs["cosine"] > limit).all()
    assert caught >= 57
    assert alarms <= 18  # expected: 6


def test_known_duplicates_of_one_group_are_no_leak():
    rng = np.random.default_rng(4)
    features, groups = rng.normal(size=(200, 6)), np.arange(200)
    features[150], groups[150] = features[3], 3
    pairs, _ = suspects(unit(features), groups, np.repeat(["train", "test"], 100), 0.05)
    assert 150 not in pairs["row"].tolist()


def test_too_few_images_or_features_without_distances_give_no_bound():
    assert bound(np.full(10, 0.3), 100, 0.05) is None
    assert bound(np.zeros(500), 100, 0.05) is None
    assert bound(np.linspace(0.1, 0.5, 500), 0, 0.05) is None


def test_the_bound_follows_the_power_law_of_the_distances():
    """P(distance < d) = d^4: half a false alarm in 100 queries lies where P = 0.005."""
    distances = np.random.default_rng(5).random(20_000) ** (1 / 4)
    assert bound(distances, 100, 0.5) == pytest.approx(0.005**0.25, rel=0.02)
