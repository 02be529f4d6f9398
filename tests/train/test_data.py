import functools
import operator
from collections import Counter

import numpy as np
import pytest

from stages.shared.arrays.arrays import load_arrays
from stages.train.batches import EpochSampler, Images, view_seed


def rows_of(sampler):
    return [[row for row, _ in items] for items, _ in sampler]


def flat(lists):
    return functools.reduce(operator.iadd, lists, [])


def test_an_epoch_shows_every_row_once_in_batches_of_nearly_equal_size():
    batches = rows_of(EpochSampler(np.arange(100, 133), batch_size=16, min_steps=1, seed=0))
    assert [len(b) for b in batches] == [11, 11, 11]
    assert sorted(flat(batches)) == list(range(100, 133))


def test_a_small_sample_is_passed_through_until_there_are_enough_steps():
    batches = rows_of(EpochSampler(np.arange(10), batch_size=8, min_steps=5, seed=0))
    assert [len(b) for b in batches] == [8] * 5
    assert set(Counter(flat(batches)).values()) == {4}


def test_an_epoch_depends_on_seed_and_number_alone():
    first, again, other = (EpochSampler(np.arange(50), 16, 1, seed) for seed in (0, 0, 1))
    first.set_epoch(3)
    list(first)
    again.set_epoch(3)
    other.set_epoch(3)
    assert list(first) == list(again) != list(other)
    again.set_epoch(4)
    assert list(first) != list(again)


@pytest.mark.parametrize(("accumulate", "world"), [(1, 2), (2, 1), (3, 2)])
def test_parts_and_processes_together_show_the_batches_that_one_process_shows(accumulate, world):
    whole = list(EpochSampler(np.arange(50), 16, 1, seed=0))
    shares = [
        list(EpochSampler(np.arange(50), 16, 1, seed=0, accumulate=accumulate, rank=r, world=world))
        for r in range(world)
    ]
    for step, (items, size) in enumerate(whole):
        parts = [part for share in shares for part in share[step * accumulate : (step + 1) * accumulate]]
        assert sorted(flat([list(part) for part, _ in parts])) == sorted(items)
        assert {count for _, count in parts} == {size} == {len(items)}


def test_balanced_sampling_shows_all_classes_equally_often_whatever_their_number():
    targets = np.array([0] * 900 + [1] * 90 + [2] * 10)
    sampler = EpochSampler(np.arange(1000), 50, 60, seed=0, labels=targets)
    shares = np.bincount(targets[flat(rows_of(sampler))]) / sampler.total
    assert shares == pytest.approx([1 / 3] * 3, abs=0.03)  # 3 standard errors of 3,000 draws


def test_views_are_as_many_as_asked_for_and_fresh_ones_never_repeat():
    few = [view for items, _ in EpochSampler(np.arange(200), 50, 1, seed=0, views=3) for _, view in items]
    fresh = [view for items, _ in EpochSampler(np.arange(200), 50, 1, seed=0) for _, view in items]
    assert set(few) == {0, 1, 2}
    assert len(set(fresh)) == 200


def test_a_view_of_an_image_is_always_the_same_and_no_view_is_the_image_itself(processed):
    arrays = load_arrays()
    source = Images(arrays, arrays.targets, 7, [{"Rotate": {"limit": [5, 15], "p": 1.0}}])
    ((first,), (again,), (other,), (plain,)) = (source.read([(3, view)])[0] for view in (0, 0, 1, None))
    assert first.equal(again)
    assert not first.equal(other)
    assert np.array_equal(plain[0].permute(1, 2, 0).numpy(), arrays.images[3])
    assert view_seed(7, 3, 0) != view_seed(7, 0, 3)
