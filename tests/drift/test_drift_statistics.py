"""The statistics of drift beside scikit-learn, scipy and brute force; how often they err where nothing has changed."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel

from stages.drift.statistics import classifier, facts, kernel, permutation, prevalence
from stages.drift.statistics.battery import Options, compare
from stages.drift.statistics.sample import Pair, Sample, pair
from stages.drift.verdict import judge

QUICK = Options(alpha=0.05, permutations=199, draws=100, level=0.95, seed=0)


def draw(
    rng: np.random.Generator, patients: int, films: tuple[int, int] = (1, 2), *, brighter: float = 0, sick: float = 0.5
) -> Sample:
    """Films of one patient are nearly the same. Feature 0 and the probabilities tell the disease, the others nothing."""
    counts = rng.integers(films[0], films[1] + 1, patients)
    of = np.repeat(np.arange(patients), counts)
    label = (rng.random(patients) < sick).astype(int)[of]
    features = rng.normal(size=(patients, 4))[of] + 0.2 * rng.normal(size=(len(of), 4))
    features[:, 0] += 3 * label
    probability = 1 / (1 + np.exp(-3 * (features[:, 0] - 1.5)))
    own = {name: rng.normal(size=patients)[of] + 0.2 * rng.normal(size=len(of)) for name in ("brightness", "sharpness")}
    own["brightness"] += brighter
    both = np.stack([1 - probability, probability], axis=1)
    return Sample(features, own | {"confidence": both.max(axis=1)}, of.astype(str), both, label)


def single(features: np.ndarray, new: int) -> Pair:
    """One film a patient; the last `new` are the new ones."""
    return Pair(features, np.arange(len(features)), np.arange(len(features)) >= len(features) - new)


def test_the_classifier_answers_as_scikit_learns_ridge_and_its_area_is_that_of_the_pairs_of_a_fold() -> None:
    rng = np.random.default_rng(0)
    own = single(rng.normal(size=(60, 5)), 20)
    folds = list(classifier.folds(own, own.new[None], seed=3, repeats=1))
    hits = pairs = 0
    for fold in folds:
        seen = np.setdiff1d(np.arange(60), fold.images)
        ridge = Ridge(alpha=classifier.RIDGE * len(seen)).fit(own.features[seen], own.new[seen].astype(float))
        expected = ridge.predict(own.features[fold.images])
        shift = expected - fold.answers[0]
        assert np.ptp(shift) < 1e-5  # the intercept is the same for all images of a fold
        truth = own.new[fold.images]
        count = truth.sum() * (~truth).sum()
        hits, pairs = hits + roc_auc_score(truth, expected) * count, pairs + count
    assert sorted(np.concatenate([fold.images for fold in folds])) == list(range(60))
    assert classifier.permuted_areas(own, own.new[None], folds)[0] == pytest.approx(hits / pairs, abs=1e-6)


def test_no_classifier_is_asked_about_a_patient_from_whom_it_learned() -> None:
    own = pair(draw(np.random.default_rng(0), 30, (2, 3)), draw(np.random.default_rng(1), 20, (2, 3)))
    for fold in classifier.folds(own, own.new[None], seed=0):
        unseen = set(own.of_image[fold.images])
        assert set(np.flatnonzero(np.isin(own.of_image, list(unseen)))) == set(fold.images)


def test_the_discrepancy_is_that_of_all_pairs_with_scikit_learns_kernel() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(30, 3)), rng.normal(0.5, 1, size=(20, 3))
    both = np.concatenate([one, other])
    squares = [np.sum((a - b) ** 2) for a, b in combinations(both, 2)]
    gamma = 1 / np.median(squares)
    expected = rbf_kernel(one, one, gamma).mean() + rbf_kernel(other, other, gamma).mean()
    expected -= 2 * rbf_kernel(one, other, gamma).mean()
    own = single(both, 20)
    assert kernel.discrepancies(own, permutation.signed(own, own.new[None]))[0] == pytest.approx(expected, abs=1e-5)


def test_the_distance_of_a_fact_is_scipys_with_ties_and_p_values_agree() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 8, 60).astype(float), rng.integers(1, 9, 40).astype(float)
    own = single(np.zeros((100, 1)), 40)
    weights = permutation.signed(own, permutation.assignments(own.new, 1999, seed=0))
    found = facts.distances(np.r_[one, other], weights)
    assert found[0] == pytest.approx(stats.ks_2samp(other, one).statistic, abs=1e-6)
    one, other = rng.normal(size=60), rng.normal(0.4, 1, 40)  # no ties: scipy's p value is exact
    found = facts.distances(np.r_[one, other], weights)
    assert permutation.p_value(found) == pytest.approx(stats.ks_2samp(other, one).pvalue, abs=0.03)


def test_a_permutation_moves_whole_patients_and_each_counts_once() -> None:
    own = pair(draw(np.random.default_rng(0), 12, (1, 3)), draw(np.random.default_rng(1), 8, (1, 3)))
    rows = permutation.assignments(own.new, 50, seed=0)
    assert (rows.sum(axis=1) == 8).all()
    weights = permutation.signed(own, rows)
    for row, weight in zip(rows, weights, strict=True):
        of_patient = np.bincount(own.of_image, weight)
        assert of_patient == pytest.approx(np.where(row, 1 / 8, -1 / 12), abs=1e-6)


def test_prevalence_is_that_of_two_equations_and_finds_what_was_planted() -> None:
    rng = np.random.default_rng(0)
    reference, new = draw(rng, 300, (1, 1)), draw(rng, 200, (1, 1), sick=0.15)
    own = prevalence.estimate(reference, new, draws=300, level=0.95, seed=0)
    assert reference.labels is not None
    assert new.labels is not None
    p, y = reference.probabilities[:, 1], reference.labels
    by_hand = (new.probabilities[:, 1].mean() - p[y == 0].mean()) / (p[y == 1].mean() - p[y == 0].mean())
    assert own.estimate[1] == pytest.approx(by_hand)
    assert own.low[1] < new.labels.mean() < own.high[1] < 0.3
    assert own.reference[1] == pytest.approx(y.mean())


def test_a_model_that_tells_nothing_apart_gives_no_prevalence() -> None:
    reference, new = draw(np.random.default_rng(0), 60), draw(np.random.default_rng(1), 40)
    blind = [Sample(s.features, s.facts, s.patients, np.full((len(s), 2), 0.5), s.labels) for s in (reference, new)]
    assert not prevalence.estimate(*blind, draws=50, level=0.95, seed=0).known


def test_where_a_class_is_answered_as_a_mixture_of_others_the_prevalence_is_not_identifiable() -> None:
    """Each two of the three are told apart well, and yet many shares give the same mean answers."""
    answers = np.array([[0.8, 0.1, 0.1], [0.2, 0.3, 0.5], [0.5, 0.2, 0.3]])  # the last one: half of each
    labels = np.repeat([0, 1, 2], 20)
    patients = np.array([f"p{i}" for i in range(60)])
    reference = Sample(np.zeros((60, 2)), {}, patients, answers[labels], labels)
    new = Sample(np.zeros((60, 2)), {}, patients, answers[labels[::-1]], None)
    assert np.linalg.matrix_rank(answers) == 2
    own = prevalence.estimate(reference, new, draws=50, level=0.95, seed=0)
    assert own.resolution > 0.29
    assert not own.known
    assert np.isnan(own.estimate).all()


def test_the_matched_reference_has_the_classes_asked_for_in_whole_patients() -> None:
    reference = draw(np.random.default_rng(0), 200)
    own = prevalence.matched(reference, np.array([0.8, 0.2]), np.random.default_rng(0))
    assert own.labels is not None
    _, first = np.unique(own.patients, return_index=True)
    assert own.labels[first].mean() == pytest.approx(0.2, abs=0.01)
    for name in np.unique(own.patients):
        assert (own.patients == name).sum() == (reference.patients == name).sum()


def test_where_nothing_has_changed_at_most_7_percent_of_200_samples_raise_an_alarm() -> None:
    """Though the new patients have one film and those of the reference two, and films of one are nearly the same."""
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        alarms += bool(compare(draw(rng, 50, (2, 2)), draw(rng, 25, (1, 1)), QUICK).found(0.05))
    assert alarms <= 14


def test_counting_films_as_patients_would_raise_false_alarms() -> None:
    """The same films, without their patients: what the unit of the tests is for."""
    naive = grouped = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        reference, new = draw(rng, 40, (1, 1)), draw(rng, 12, (6, 6))
        grouped += bool(compare(reference, new, QUICK).found(0.05))
        alone = Sample(new.features, new.facts, np.arange(len(new)).astype(str), new.probabilities)
        naive += bool(compare(reference, alone, QUICK).found(0.05))
    assert naive >= 8
    assert grouped <= 3


def test_two_films_of_one_patient_raise_no_alarm() -> None:
    rng = np.random.default_rng(0)
    findings = judge(draw(rng, 60), draw(rng, 1, (2, 2), brighter=9), QUICK, least=20)
    assert findings.name == "too_few"
    assert not findings.alarm


def test_the_smallest_shift_of_a_fact_is_found_in_about_four_of_five_samples() -> None:
    rng = np.random.default_rng(5)
    nothing = compare(draw(rng, 60, (1, 1)), draw(rng, 40, (1, 1)), QUICK).test("brightness")
    assert nothing is not None
    size = nothing.smallest * np.sqrt(1.04)  # the fact's standard deviation
    found = 0
    for seed in range(30):
        rng = np.random.default_rng(100 + seed)
        shifted = compare(draw(rng, 60, (1, 1)), draw(rng, 40, (1, 1), brighter=size), QUICK).test("brightness")
        assert shifted is not None
        found += shifted.p <= 0.05 / 6
    assert found >= 18  # 80% of 30 is 24; fewer than 18 have a probability below 1%


@pytest.mark.parametrize(
    ("change", "name"), [({"sick": 0.1}, "prevalence"), ({"brighter": 1.5}, "acquisition"), ({}, "none")]
)
def test_a_planted_change_gets_its_name(change: dict[str, float], name: str) -> None:
    rng = np.random.default_rng(7)
    assert judge(draw(rng, 120), draw(rng, 60, **change), QUICK, least=20).name == name  # type: ignore[arg-type]
