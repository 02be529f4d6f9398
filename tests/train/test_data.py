import functools
import operator
from collections import Counter

import numpy as np

from stages.train.data import EpochSampler


def rows_of(sampler):
    return [[row for row, _ in batch] for batch in sampler]


def test_an_epoch_shows_every_row_once_in_batches_of_nearly_equal_size():
    batches = rows_of(EpochSampler(np.arange(100, 133), batch_size=16, min_steps=1, seed=0))
    assert sorted(functools.reduce(operator.iadd, batches, [])) == list(range(100, 133))
    assert [len(b) for b in batches] == [11, 11, 11]


def test_a_small_sample_is_passed_through_until_there_are_enough_steps():
    batches = rows_of(EpochSampler(np.arange(10), batch_size=8, min_steps=5, seed=0))
    assert [len(b) for b in batches] == [8] * 5
    assert set(Counter(functools.reduce(operator.iadd, batches, [])).values()) == {4}


def test_an_epoch_depends_on_seed_and_number_alone():
    first, again, other = (EpochSampler(np.arange(50), 16, 1, seed) for seed in (0, 0, 1))
    first.set_epoch(3)
    list(first)
    again.set_epoch(3)
    other.set_epoch(3)
    assert list(first) == list(again) != list(other)
    again.set_epoch(4)
    assert list(first) != list(again)
