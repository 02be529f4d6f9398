"""Groups -> parts of given shares; compared with scikit-learn where that can do it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from stages.shared.core.deal import deal


def table(seed: int, groups: int, classes: int) -> np.ndarray:
    """Images per group and class: mostly one class per group, sizes from 1 to 30."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((groups, classes), int)
    main = rng.choice(classes, groups, p=np.arange(classes, 0, -1) / sum(range(classes + 1)))
    counts[np.arange(groups), main] = np.minimum(rng.geometric(0.3, groups), 30)
    return counts


def imbalance(counts: np.ndarray, part: np.ndarray, shares: list[float]) -> float:
    """Largest relative distance of any part's count of any class from its target."""
    got = np.stack([counts[part == p].sum(0) for p in range(len(shares))])
    target = np.outer(shares, counts.sum(0))
    return float((np.abs(got - target) / target).max())


def mixed(seed: int, groups: int, classes: int) -> np.ndarray:
    """Groups of several labels and of very different sizes. With one label a group, "largest first, to the emptiest
    part" is all there is to do, and any two dealers tie."""
    rng = np.random.default_rng(seed)
    sizes = np.minimum((rng.pareto(1.1, groups) * 2 + 1).astype(int), 60)
    return np.stack([rng.multinomial(size, rng.dirichlet(np.full(classes, 0.5))) for size in sizes])


def scikit_learns(counts: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold

    group = np.repeat(np.arange(len(counts)), counts.sum(1))
    label = np.concatenate([np.repeat(np.arange(counts.shape[1]), row) for row in counts])
    part = np.full(len(counts), -1)
    for fold, (_, held_out) in enumerate(
        StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(label, label, group)
    ):
        part[group[held_out]] = fold
    return part


@pytest.mark.parametrize(("groups", "classes"), [(40, 2), (120, 3), (300, 5)])
def test_folds_are_on_average_at_least_as_even_as_those_of_scikit_learn(groups: int, classes: int):
    shares, ours, theirs = [0.2] * 5, [], []
    for seed in range(6):
        counts = mixed(seed, groups, classes)
        mine, other = deal(counts, shares, [1] * 5, seed), scikit_learns(counts, seed)
        assert not np.array_equal(mine, other), "else nothing is compared"
        ours.append(imbalance(counts, mine, shares))
        theirs.append(imbalance(counts, other, shares))
    assert np.mean(ours) <= np.mean(theirs) + 1e-9


def unevenness(counts: np.ndarray, part: np.ndarray, parts: int) -> float:
    """Squared distance of the images of every class, and of all, from equal parts, relative to the target; infinite
    where a part lacks a class."""
    got = np.stack([counts[part == p].sum(0) for p in range(parts)])
    if (got == 0).any():
        return np.inf
    got = np.column_stack([got, got.sum(1)])
    target = got.sum(0) / parts
    return float(((got - target) ** 2 / (target * got.sum(0))).sum())


def test_on_small_sets_no_deal_of_all_possible_ones_is_more_even() -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        groups, classes, parts = int(rng.integers(4, 8)), int(rng.integers(2, 4)), int(rng.integers(2, 4))
        counts = rng.integers(1, 6, (groups, classes)) * (rng.random((groups, classes)) < 0.6)
        counts[rng.integers(groups)] += 1
        possible = (np.array(p) for p in itertools.product(range(parts), repeat=groups))
        best = min(unevenness(counts, part, parts) for part in possible)
        cost = unevenness(counts, deal(counts, [1 / parts] * parts, [1] * parts, 0), parts)
        refused += np.isinf(best)
        assert cost == pytest.approx(best)
    assert 0 < refused < 20, "some sets cannot be dealt at all, most can"


def test_every_part_gets_a_rare_class_although_its_groups_are_large() -> None:
    """Six groups have the rare class, five of them mostly another: large ones that evenness alone would put together."""
    counts = np.array([[30, 1], [28, 1], [3, 1], [2, 1], [1, 1], [1, 1]] + [[1, 0]] * 10)
    held_out = deal(counts, [0.2, 0.8], [1, 5], 0) == 0
    fold = deal(counts[~held_out], [0.2] * 5, [1] * 5, 0)
    assert (counts[held_out, 1] > 0).sum() == 1
    assert sorted(fold[counts[~held_out, 1] > 0]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("test", [0.05, 0.15, 0.2, 0.35, 0.5])
@pytest.mark.parametrize("seed", range(2))
def test_any_share_is_met_for_every_class(test: float, seed: int):
    counts = table(seed, 400, 3)
    assert imbalance(counts, deal(counts, [test, 1 - test], [1, 1], seed), [test, 1 - test]) < 0.05


def test_every_fold_gets_one_of_as_many_groups_as_there_are_folds():
    counts = np.array([[0, 3]] * 5 + [[2, 0]] * 60)
    part = deal(counts, [0.2] * 5, [1] * 5, 0)
    assert sorted(part[:5]) == [0, 1, 2, 3, 4]


def test_one_giant_group_does_not_empty_the_other_parts():
    counts = np.array([[200, 0]] + [[1, 0]] * 40 + [[0, 1]] * 40)
    part = deal(counts, [0.25] * 4, [1] * 4, 0)
    got = np.stack([counts[part == p].sum(0) for p in range(4)])
    assert (got > 0).all()


def test_the_seed_decides_and_the_same_seed_decides_alike():
    counts = table(0, 100, 2)
    assert np.array_equal(deal(counts, [0.5, 0.5], [1, 1], 1), deal(counts, [0.5, 0.5], [1, 1], 1))
    assert not np.array_equal(deal(counts, [0.5, 0.5], [1, 1], 1), deal(counts, [0.5, 0.5], [1, 1], 2))


def test_many_groups_take_little_time():
    import time

    start = time.process_time()
    deal(table(0, 20_000, 5), [0.2] * 5, [1] * 5, 0)
    assert time.process_time() - start < 10
