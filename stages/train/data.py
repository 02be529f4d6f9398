"""Batches out of the memory-mapped array. What an epoch shows depends on (seed, epoch) alone, so that a resumed
training goes on exactly as the uninterrupted one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..shared.arrays import Arrays
from ..shared.model import as_tensor
from .params import Params

Item = tuple[int, int]  # (row of the array, seed of its augmentation)
Batch = tuple[torch.Tensor, torch.Tensor]  # uint8 B×C×H×W, int64 B


class ArrayDataset(Dataset[Batch]):
    """Whole batches at a time: an index is a list of items, as the sampler gives them."""

    def __init__(self, arrays: Arrays, augment: Any | None = None) -> None:
        self.images, self.targets, self.augment = arrays.images, arrays.targets, augment

    def __getitem__(self, items: Sequence[Item]) -> Batch:
        rows = [row for row, _ in items]
        images = self.images[rows]  # B×H×W×C, a copy
        if self.augment is not None:
            images = np.stack([self.augment(i, seed=seed) for i, (_, seed) in zip(images, items, strict=True)])
        return as_tensor(images), torch.from_numpy(self.targets[rows])


class EpochSampler(Sampler[list[Item]]):
    """Shuffled batches of nearly equal size (a last batch of one image would break BatchNorm). A small sample is
    passed through several times until the epoch has `min_steps` steps. Lightning calls `set_epoch`."""

    def __init__(self, rows: np.ndarray, batch_size: int, min_steps: int, seed: int) -> None:
        self.rows, self.seed, self.epoch = rows, seed, 0
        needed = -(-len(rows) // batch_size)
        self.steps = max(min_steps, needed)
        self.total = len(rows) if needed >= min_steps else min_steps * min(batch_size, len(rows))

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Item]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        passes = -(-self.total // len(self.rows))
        order = np.concatenate([rng.permutation(self.rows) for _ in range(passes)])[: self.total]
        seeds = rng.integers(2**31, size=self.total)
        for part in np.array_split(np.arange(self.total), self.steps):
            yield [(int(order[i]), int(seeds[i])) for i in part]


def loaders(
    arrays: Arrays, train: np.ndarray, validation: np.ndarray, params: Params, seed: int
) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    """(training, validation). In this process: a row of the array costs less than handing it between processes."""
    sampler = EpochSampler(train, params.batch_size, params.min_steps_per_epoch, seed)
    in_order = [[(int(row), 0) for row in part] for part in np.array_split(validation, -(-len(validation) // 64))]
    # as `sampler`, not `batch_sampler`: Lightning tells the epoch to the former alone
    return (
        DataLoader(ArrayDataset(arrays, augmentation(params, arrays)), sampler=sampler, batch_size=None),
        DataLoader(ArrayDataset(arrays), sampler=in_order, batch_size=None),
    )


def augmentation(params: Params, arrays: Arrays) -> Any | None:
    """The transforms of train.augment, or None; albumentations is imported only when there are some."""
    if not params.augment:
        return None
    from ..shared.transforms import build

    return build(params.augment, where="params.yaml: train.augment", channels=arrays.images.shape[3], keep_size=True)
