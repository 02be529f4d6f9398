from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from stages.compare.numbers import contrasts


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_three_classes_average_one_against_the_rest(rng: np.random.Generator) -> None:
    truth, prob = rng.integers(0, 3, 150), rng.dirichlet(np.ones(3), 150)
    expected = reference.roc_auc_score(truth, prob, multi_class="ovr")
    assert contrasts.model_auroc(truth, prob)[0] == pytest.approx(expected)


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
