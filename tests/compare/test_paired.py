"""Paired tests, tiers, and the luck in the first row."""

from __future__ import annotations

from itertools import combinations, product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from benchmarks.claims import first_row, models
from stages.compare.numbers.delong import areas, placements
from stages.compare.numbers.draws import Draws
from stages.compare.numbers.mcnemar import discordance, sign_flip
from stages.compare.numbers.optimism import corrected_by, optimism, table
from stages.compare.numbers.paired import agreement, families
from stages.compare.numbers.tiers import tiers
from stages.shared.core.paths import Key
from stages.shared.measures.intervals import holm
from stages.shared.measures.measure import Measure

RNG = np.random.default_rng


def films(clusters: int, images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth (N,), scores of three models (3, N) with ties, cluster (N,): a cluster may hold images of both classes."""
    rng = RNG(seed)
    cluster = np.repeat(np.arange(clusters), images)
    truth = rng.random(len(cluster)) < 0.4
    common = rng.normal(size=clusters)[cluster]
    scores = np.array([skill * truth + common + rng.normal(size=len(truth)) for skill in (0.3, 1.0, 1.4)])
    return truth, scores.round(1), cluster


def outranks(x: float, y: float) -> float:
    return float(x > y) + 0.5 * float(x == y)


def obuchowski(truth: np.ndarray, scores: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Covariance of the areas (Obuchowski 1997), image by image and cluster by cluster."""
    count, rest = int(truth.sum()), int((~truth).sum())
    names = np.unique(cluster)
    sick, healthy = {}, {}
    for k, score in enumerate(scores):
        above = {
            i: np.mean([outranks(score[i], score[j]) for j in np.flatnonzero(~truth)]) for i in np.flatnonzero(truth)
        }
        below = {
            j: np.mean([outranks(score[i], score[j]) for i in np.flatnonzero(truth)]) for j in np.flatnonzero(~truth)
        }
        area = np.mean(list(above.values()))
        for name in names:
            own = np.flatnonzero(cluster == name)
            sick[k, name] = sum(above[i] - area for i in own if truth[i])
            healthy[k, name] = sum(below[j] - area for j in own if not truth[j])
    of_sick, of_healthy = (len(np.unique(cluster[rows])) for rows in (truth, ~truth))
    covariance = np.zeros((len(scores), len(scores)))
    for k, m in product(range(len(scores)), repeat=2):
        s10 = of_sick / ((of_sick - 1) * count) * sum(sick[k, c] * sick[m, c] for c in names)
        s01 = of_healthy / ((of_healthy - 1) * rest) * sum(healthy[k, c] * healthy[m, c] for c in names)
        s11, s11_turned = (
            len(names) / (len(names) - 1) * sum(sick[a, c] * healthy[b, c] for c in names) for a, b in ((k, m), (m, k))
        )
        covariance[k, m] = s10 / count + s01 / rest + (s11 + s11_turned) / (count * rest)
    return covariance


@pytest.mark.parametrize("images", [1, 3])
def test_areas_and_their_covariance_are_those_of_the_published_formula(images: int) -> None:
    truth, scores, cluster = films(20, images)
    found = areas([(truth, scores)], cluster)
    assert found.value == pytest.approx([roc_auc_score(truth, score) for score in scores])
    assert found.covariance == pytest.approx(obuchowski(truth, scores, cluster))


# 113 patients with a bleeding in the head (Turck et al. 2010, Intensive Care Medicine 36:107): poor outcome, grade of
# the World Federation of Neurosurgical Societies, S100β in units of 0.01 µg/l. Areas, variances and the test are those
# that pROC 1.18 gives for them (Robin et al. 2011, BMC Bioinformatics 12:77).
POOR = (
    "00001101001011001011101000000000100110110000000001100010001010011101101111000110100000010000000000001111110001000"
)
GRADE = (
    "11113254125255125225211112121134214541425511241125521251222151125214524414121421232421451154221113125225552445111"
)
S100B = """
13 14 10 4 13 10 47 16 18 10 12 10 44 71 4 8 49 4 7 33 9 9 7 11 7 17 7 11 13 19 5 16 41 14 34 35 48 9 96 25 50
46 16 7 43 45 11 8 9 86 52 8 6 13 207 10 14 15 7 6 77 5 9 30 3 9 4 23 70 9 27 71 8 26 8 16 9 13 10 8 11 33 11
28 7 10 32 22 7 5 24 38 10 15 8 14 10 7 4 19 56 14 58 32 82 74 15 47 17 44 15 50 48
"""


def test_delongs_test_of_a_published_data_set() -> None:
    poor = np.array(list(POOR)) == "1"
    scores = np.array([[int(grade) for grade in GRADE], [int(value) for value in S100B.split()]], float)
    grade, protein = range(2)
    result = areas([(poor, scores)], np.arange(len(poor)))
    assert result.value[grade] == pytest.approx(0.823678861788618, abs=1e-12)
    assert np.diag(result.covariance) == pytest.approx([0.00146991470882363, 0.00266868245717244], abs=1e-12)
    assert result.covariance[grade, protein] == pytest.approx(0.00119615567376754, abs=1e-12)
    difference, error = result.difference(grade, protein)
    assert difference / error == pytest.approx(2.20898359144091, abs=1e-9)


def test_with_one_image_per_patient_the_covariance_is_delongs() -> None:
    """DeLong's: sample covariances of the placement values over the positives and over the negatives."""
    truth, scores, cluster = films(60, 1)
    above, below = placements(truth, scores)
    delong = np.cov(above) / truth.sum() + np.cov(below) / (~truth).sum()
    assert areas([(truth, scores)], cluster).covariance == pytest.approx(delong)


def test_more_than_two_classes_have_the_mean_area_and_a_variance_that_the_bootstrap_confirms() -> None:
    rng = RNG(3)
    truth = rng.integers(3, size=240)
    scores = np.array([rng.normal(size=(240, 3)) + skill * np.eye(3)[truth] for skill in (0.8, 1.2)])  # 2×240×3
    rankings = [(truth == k, scores[:, :, k]) for k in range(3)]
    found = areas(rankings, np.arange(240))
    assert found.value[1] == pytest.approx(np.mean([roc_auc_score(p, s[1]) for p, s in rankings]))
    drawn = []
    for _ in range(400):
        at = rng.integers(240, size=240)
        drawn.append([np.mean([roc_auc_score(p[at], s[m, at]) for p, s in rankings]) for m in range(2)])
    difference = np.diff(drawn, axis=1).std()
    assert found.difference(1, 0)[1] == pytest.approx(difference, rel=0.12)


def test_a_class_that_is_absent_has_no_area() -> None:
    _, scores, cluster = films(10, 1)
    found = areas([(np.zeros(10, dtype=bool), scores)], cluster)
    assert np.isnan(found.value).all()


@pytest.mark.parametrize(("first", "second"), [(9, 2), (0, 6), (4, 4), (0, 0), (300, 250)])
def test_with_one_image_per_patient_mcnemar_is_the_exact_test(first: int, second: int) -> None:
    right = np.repeat([True, False, True], [first, second, 5])
    other = np.repeat([False, True, True], [first, second, 5])
    found = discordance(right, other, np.arange(len(right)))
    assert (found.first, found.second) == (first, second)
    expected = mcnemar([[5, first], [second, 0]], exact=True).pvalue if first + second else 1.0
    assert found.p_value == pytest.approx(expected)


def test_clustered_mcnemar_counts_every_choice_of_signs() -> None:
    differences = np.array([3, -1, 2, 0, 1, 2, -1, 4, 1])
    sums = [abs(np.dot(signs, differences)) for signs in product((-1, 1), repeat=len(differences))]
    assert sign_flip(differences) == pytest.approx(np.mean(np.array(sums) >= abs(differences.sum())))


def test_with_many_clusters_mcnemar_is_the_test_of_yang() -> None:
    differences = RNG(1).integers(-2, 4, 400)
    statistic = differences.sum() ** 2 / (differences**2).sum()
    small = RNG(2).integers(-3, 4, 400)
    own = small.sum() ** 2 / (small**2).sum()
    assert sign_flip(differences) < 1e-6 > stats.chi2.sf(statistic, 1)
    assert sign_flip(small) == pytest.approx(stats.chi2.sf(own, 1), abs=0.02)


def test_images_of_one_patient_count_less_than_images_of_many() -> None:
    right, other = np.repeat([True, False], [12, 3]), np.repeat([False, True], [12, 3])
    alone = discordance(right, other, np.arange(15)).p_value
    together = discordance(right, other, np.repeat(np.arange(5), 3)).p_value
    assert alone < 0.05 < together


def test_holm_is_that_of_statsmodels_and_leaves_out_what_is_no_test() -> None:
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005])
    tests = np.isfinite(p)
    assert holm(p)[tests] == pytest.approx(multipletests(p[tests], method="holm")[1])
    assert np.isnan(holm(p)[1])


def test_the_baseline_is_compared_on_the_same_backbone_and_sample_and_with_models_alone() -> None:
    names = [("a", "scratch", "full"), ("a", "tuned", "full"), ("a", "tuned", "few"), ("b", "tuned", "full")]
    members = [SimpleNamespace(key=Key(*name), kind="model") for name in names]
    members.append(SimpleNamespace(key=Key("a", "tuned+knn", "full"), kind="neighbours"))
    assert families(members, "scratch") == [[(1, 0)]]


def test_agreement_counts_the_same_results() -> None:
    rows = pd.DataFrame(
        {"verdict": ["better", "worse"], "delong_verdict": ["better", "not shown to differ"],
         "accuracy_verdict": ["", ""], "mcnemar_verdict": ["better", "worse"]}
    )  # fmt: skip
    assert agreement(rows) == {"DeLong": (1, 2), "McNemar": (0, 0)}


def drawn(values: list[float], noise: float, seed: int = 0, higher: bool = True) -> Draws:
    """Models whose draws vary independently."""
    point = np.array(values)
    replicates = point[:, None] + noise * RNG(seed).normal(size=(len(point), 2000))
    return Draws(point, replicates, 100, 0.95, Measure("m", "m", higher_is_better=higher))


def test_tiers_hold_what_is_not_shown_to_be_worse_than_their_first() -> None:
    values = [0.9, 0.89, 0.7, 0.69, 0.5]
    found = tiers(drawn(values, 0.01), range(5))
    assert found == [1, 1, 2, 2, 3]
    draws = drawn(values, 0.01)
    for first, other in combinations(range(5), 2):
        if found[first] != found[other] and found.index(found[first]) == first:
            assert draws.differences_to(first)[other][2] < 0
    assert tiers(drawn(values, 0.5), range(5)) == [1] * 5
    lower = drawn([0.1, 0.11, 0.3], 0.01, higher=False)
    assert tiers(lower, range(3)) == [1, 1, 2]


def test_a_model_without_a_value_is_in_no_tier() -> None:
    assert tiers(drawn([0.9, np.nan, 0.5], 0.01), [0, 2, 1]) == [1, None, 2]


@pytest.mark.parametrize(("count", "about"), [(6, 0.034), (36, 0.052)])
def test_the_luck_of_the_best_of_equal_models_is_estimated(count: int, about: float) -> None:
    """What the best of equal models shows beyond their common area, on average over studies."""
    studies = [models(np.full(count, 0.85), RNG(seed), replicates=300) for seed in range(20)]
    true = np.mean([study.point.max() - 0.85 for study in studies])
    estimate = np.mean([optimism(study) for study in studies])
    assert true == pytest.approx(about, abs=0.012)
    assert estimate == pytest.approx(about, abs=0.008)


def test_a_clear_winner_owes_little_to_luck_and_a_single_model_nothing() -> None:
    assert optimism(drawn([0.9, 0.5, 0.5], 0.02)) == pytest.approx(0, abs=0.001)
    assert optimism(drawn([0.9], 0.1)) == pytest.approx(0, abs=1e-9)


def test_choosing_by_validation_has_no_luck_in_the_test_value() -> None:
    """Of equal models the one with the best value on other images shows their common area, on average."""
    gains = []
    for seed in range(60):
        validation, test = (models(np.full(6, 0.85), RNG([seed, which]), replicates=2) for which in (0, 1))
        gains.append([test.point[validation.point.argmax()] - 0.85, test.point.max() - 0.85])
    chosen, first = np.mean(gains, axis=0)
    assert abs(chosen) < 0.012 < 0.025 < first


def test_the_luck_goes_the_way_of_the_metric() -> None:
    board = pd.DataFrame(
        {"key": ["a", "b"], "kind": "model", "value": [0.1, 0.1], "value_low": 0.05, "value_high": 0.2}
    )
    loss = table(board, drawn([0.1, 0.1], 0.02, higher=False)).iloc[0]
    assert loss["optimism"] > 0.005
    assert loss["corrected"] == pytest.approx(0.1 + loss["optimism"])


def test_the_interval_of_the_first_row_holds_though_it_was_chosen() -> None:
    """The best of 15 equal models hardly ever claims more than their common area once corrected; as it is, more often."""
    corrected, bare = np.mean([first_row(15, RNG(seed)) for seed in range(40)], axis=0)
    assert corrected <= 0.05 < 0.1 < bare


def test_ends_of_the_corrected_value_go_the_way_of_the_metric() -> None:
    better = corrected_by(0.02, 0.9, 0.8, 0.95, 1.5, higher_is_better=True)
    assert list(better.values()) == pytest.approx([0.88, 0.75, 0.93])
    lower = corrected_by(0.02, 0.1, 0.05, 0.2, 1.5, higher_is_better=False)
    assert list(lower.values()) == pytest.approx([0.12, 0.07, 0.25])
    single = corrected_by(0.0, 0.9, 0.8, 0.95, 1.0, higher_is_better=True)
    assert list(single.values()) == pytest.approx([0.9, 0.8, 0.95])
