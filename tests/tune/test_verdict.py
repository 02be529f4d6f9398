"""Whether a search helped: the corrected interval, the winner and what is said."""

import math
import re

import numpy as np
import pytest
from scipy import stats

from stages.tune.verdict import PRESENT, Candidate, difference, differences, half_width, sentence, winner


def candidate(name, scores, lr=None):
    return Candidate(name, {"train.optimizer.lr": lr or len(name)}, scores)


def test_without_correction_it_is_the_paired_t_interval():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.9, 0.02, 6), rng.normal(0.88, 0.02, 6)
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    one = difference(candidate("search", list(first)), candidate("random", list(second)), 3, 0.0, 1)
    assert (one.low, one.high) == pytest.approx((expected.low, expected.high))


def test_values_of_folds_that_share_their_images_claim_too_much_without_the_correction():
    """Nadeau & Bengio's model: differences whose correlation is the validation images' share of all, and no effect."""
    rng = np.random.default_rng(1)
    share, pairs, draws = 0.25, 6, 600
    correlation = share / (1 + share)
    common = rng.normal(0, math.sqrt(correlation), (draws, 1))
    rows = common + rng.normal(0, math.sqrt(1 - correlation), (draws, pairs))
    claims = {s: np.mean([abs(row.mean()) > half_width(list(row), s) for row in rows]) for s in (0.0, share)}
    assert claims[share] < 0.08
    assert claims[0.0] > 0.1


@pytest.mark.parametrize(
    ("search", "other", "sign", "verdict", "text"),
    [
        (
            [0.95, 0.96, 0.95],
            [0.85, 0.86, 0.86],
            1,
            "better",
            "The search beat the present settings: \\+0.097 val_auroc",
        ),
        ([0.85, 0.86, 0.86], [0.95, 0.96, 0.95], 1, "worse", "The present settings beat the search"),
        ([0.3, 0.31, 0.3], [0.5, 0.52, 0.5], -1, "better", "The search beat"),
        ([0.9, 0.8, 0.9], [0.85, 0.86, 0.86], 1, "not shown to differ", "was not shown to beat"),
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], 1, "not shown to differ", "was not shown to beat"),  # a perfect score
    ],
)
def test_what_is_claimed(search, other, sign, verdict, text):
    one = difference(candidate("search", search), candidate(PRESENT, other), 3, 0.2, sign)
    assert one.verdict == verdict
    assert re.search(text, sentence(one, "val_auroc"))


def test_one_fold_has_no_interval_however_many_seeds():
    one = difference(candidate("search", [0.9, 0.91, 0.9]), candidate(PRESENT, [0.8, 0.81, 0.8]), 1, 0.2, 1)
    assert one.verdict == "not shown to differ"
    assert math.isinf(one.high)
    assert sentence(one, "val_auroc").endswith("+0.100 val_auroc, without an interval, since tune.folds is 1.")


def test_the_same_settings_are_said_to_be_the_same():
    one = difference(candidate("search", [0.9, 0.8], 0.01), candidate(PRESENT, [0.9, 0.8], 0.01), 2, 0.2, 1)
    assert one.verdict == "same settings"
    assert "ended with the same settings as the present settings" in sentence(one, "val_auroc")


def test_the_best_mean_wins_and_of_equals_the_one_that_changes_less():
    def of(search, random, present):
        pairs = {"search": search, "random": random, PRESENT: present}
        return {name: candidate(name, [value]) for name, value in pairs.items()}

    assert winner(of(0.9, 0.8, 0.7), 1).name == "search"
    assert winner(of(0.7, 0.8, 0.8), 1).name == PRESENT
    assert winner(of(0.7, 0.8, 0.9), -1).name == "search"
    assert [one.second for one in differences(of(0.9, 0.8, 0.7), 1, 0.2, 1)] == ["random", PRESENT]
