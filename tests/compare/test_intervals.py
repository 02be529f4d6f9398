from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from stages.compare.numbers import board, contrasts


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def coarse(rng: np.random.Generator, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores with many ties."""
    positive = rng.random(n) < 0.4
    return positive, np.round(positive * 0.8 + rng.normal(size=n), 1)


def test_auroc_equals_scikit_learn_with_ties(rng: np.random.Generator) -> None:
    positive, score = coarse(rng)
    assert contrasts.auroc(positive, score)[0] == pytest.approx(reference.roc_auc_score(positive, score))


def test_a_weight_counts_an_image_that_many_times(rng: np.random.Generator) -> None:
    positive, score = coarse(rng)
    weights = rng.integers(0, 4, size=(5, len(score)))
    expected = [reference.roc_auc_score(np.repeat(positive, w), np.repeat(score, w)) for w in weights]
    assert contrasts.auroc(positive, score, weights) == pytest.approx(expected)


def test_a_draw_of_one_class_has_no_auroc() -> None:
    weights = np.array([[1, 1, 0], [1, 1, 1]])
    values = contrasts.auroc(np.array([True, True, False]), np.array([0.9, 0.2, 0.4]), weights)
    assert np.isnan(values[0])
    assert values[1] == 0.5


def test_three_classes_average_one_against_the_rest(rng: np.random.Generator) -> None:
    truth, prob = rng.integers(0, 3, 150), rng.dirichlet(np.ones(3), 150)
    expected = reference.roc_auc_score(truth, prob, multi_class="ovr")
    assert contrasts.model_auroc(truth, prob)[0] == pytest.approx(expected)


def test_draws_take_whole_patients_and_always_as_many(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    patients = ["a", "a", "a", "b", "b", "c"]
    monkeypatch.setattr("stages.shared.measures.statistics.CHUNK", 60)
    chunks = list(contrasts.draws(patients, 25, seed=1))
    weights = np.concatenate(chunks)
    assert len(chunks) == 3
    assert weights.shape == (25, 6)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 3, 5]].sum(1) == 3).all()


def test_difference_interval_agrees_with_a_plain_loop_over_patients(rng: np.random.Generator) -> None:
    n = 240
    patients = np.array([f"p{i // 3}" for i in range(n)])
    truth = np.repeat(rng.integers(0, 2, n // 3), 3)
    common = rng.normal(size=n)
    scores = [truth * skill + common + 0.5 * rng.normal(size=n) for skill in (1.5, 1.0)]
    probs = [np.stack([-s, s], 1) for s in scores]

    ours = contrasts.aurocs(truth, probs, patients, 2000, seed=0)
    low, high = contrasts.interval(ours[0] - ours[1], 0.95)

    names, loop = np.unique(patients), []
    for _ in range(400):
        rows = np.concatenate([np.flatnonzero(patients == p) for p in rng.choice(names, len(names))])
        a, b = (reference.roc_auc_score(truth[rows], s[rows]) for s in scores)
        loop.append(a - b)
    assert [low, high] == pytest.approx(np.quantile(loop, [0.025, 0.975]), abs=0.012)
    assert high - low < np.ptp(contrasts.interval(ours[0], 0.95)) * 1.2  # pairing pays: the images' own noise cancels


def test_precision_recall_f1_of_a_draw_equal_scikit_learn(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, called = rng.random(80) < 0.5, rng.random((2, 80)) < 0.5
    weights = rng.integers(0, 3, (1, 80))
    monkeypatch.setattr(contrasts, "draws", lambda *_: iter([weights]))
    got = contrasts.prf(truth, called, [""] * 80, 1, 0, 0.95)[..., 0]  # one draw: both bounds are its value
    expected = [
        reference.precision_recall_fscore_support(truth, row, average="binary", sample_weight=weights[0])[:3]
        for row in called
    ]
    assert got == pytest.approx(np.array(expected))


def test_roc_curve_holds_scikit_learns_corners_and_area(rng: np.random.Generator) -> None:
    positive, score = coarse(rng)
    fpr, tpr = board.roc_curve(positive, score)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert reference.auc(fpr, tpr) == pytest.approx(reference.roc_auc_score(positive, score))
    theirs = reference.roc_curve(positive, score, drop_intermediate=True)
    points = set(zip(np.round(theirs[0], 9), np.round(theirs[1], 9), strict=True))
    assert set(zip(np.round(fpr, 9), np.round(tpr, 9), strict=True)) <= points
