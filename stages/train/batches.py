"""Batches out of memory-mapped arrays. What an epoch shows depends on (seed, epoch) alone, so that a resumed
training goes on exactly as the uninterrupted one, whatever the number of processes that prepare or learn it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..shared.arrays.arrays import Arrays
from ..shared.core.errors import UserError
from ..shared.model.predict import as_tensor
from .machine.machine import Machine
from .sample import Rows

VALIDATION_BATCH = 64  # images at most; no more than twice a training part, which needs more memory each
Item = tuple[int, int | None]  # (row of the arrays, which of its augmented views; None: the image as it is)
Part = tuple[list[Item], int]  # what is computed at once, and the images of the whole step of the optimiser


class Batch(NamedTuple):
    """inputs: of the model, batch first. targets: int64 B, or uint8 B×H×W. rows: int64 B. whole: images of the
    optimiser's step."""

    inputs: tuple[torch.Tensor, ...]
    targets: torch.Tensor
    rows: torch.Tensor
    whole: int


class Source(Protocol):
    """Gives the inputs of a batch, images or what a frozen prefix makes of them, and its targets."""

    def read(self, items: Sequence[Item]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]: ...


class Images:
    """uint8 B×C×H×W. A view is an augmentation by `steps`, those of train.augment, seeded by
    `view_seed(seed, row, view)`. `targets`: of all rows, N numbers, or masks N×H×W, which are moved with their
    images."""

    def __init__(self, arrays: Arrays, targets: np.ndarray, seed: int, steps: Sequence[Any] = ()) -> None:
        self.arrays, self.targets, self.seed, self.steps = arrays, targets, seed, tuple(steps)
        self.masked = targets.ndim == 3
        if steps:  # albumentations is imported only for them
            from ..shared.arrays.transforms import Transform

            channels = arrays.images.shape[3]
            self.augment = Transform(steps, where="params.yaml: train.augment", channels=channels, keep_size=True)

    def targets_of(self, items: Sequence[Item]) -> torch.Tensor:
        if self.masked and self.steps and any(view is not None for _, view in items):
            return self.read(items)[1]
        return torch.from_numpy(self.targets[[row for row, _ in items]])

    def read(self, items: Sequence[Item]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        rows = [row for row, _ in items]
        images, targets = self.arrays.images[rows], self.targets[rows]  # B×H×W×C and B or B×H×W, copies
        for i, (row, view) in enumerate(items):
            if view is None or not self.steps:
                continue
            seed = view_seed(self.seed, row, view)
            if self.masked:
                images[i], targets[i] = self.augment(images[i], targets[i], seed=seed)
            else:
                images[i] = self.augment(images[i], seed=seed)
        return (as_tensor(images),), torch.from_numpy(targets)


def view_seed(seed: int, row: int, view: int) -> int:
    """Of the augmentation that makes this view of this image."""
    return int(np.random.SeedSequence([seed, row, view]).generate_state(1)[0] >> 1)


class BatchDataset(Dataset[Batch]):
    """Whole batches at a time: an index is a part of a step, as the sampler gives it."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, part: Part) -> Batch:
        items, whole = part
        inputs, targets = self.source.read(items)
        return Batch(inputs, targets, torch.tensor([row for row, _ in items]), whole)


def epoch_size(count: int, batch_size: int, min_steps: int) -> tuple[int, int]:
    """(steps of the optimiser, images shown) of an epoch of a sample of `count` images."""
    needed = -(-count // batch_size)
    if needed >= min_steps:
        return needed, count
    return min_steps, min_steps * min(batch_size, count)


class EpochSampler(Sampler[Part]):
    """Batches of nearly equal size (a last batch of one image would break BatchNorm), each cut into `accumulate` parts
    for each of `world` processes. A small sample is passed through several times until the epoch has `min_steps`
    steps. `views`: how many augmented views an image has; None: as many as it is shown. `labels`: of all rows of the
    arrays, where classes are to be drawn equally often. Lightning calls `set_epoch`."""

    def __init__(
        self,
        rows: np.ndarray,
        batch_size: int,
        min_steps: int,
        seed: int,
        *,
        views: int | None = None,
        labels: np.ndarray | None = None,
        accumulate: int = 1,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.rows, self.seed, self.views, self.labels, self.epoch = rows, seed, views, labels, 0
        self.accumulate, self.rank, self.world = accumulate, rank, world
        self.steps, self.total = epoch_size(len(rows), batch_size, min_steps)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps * self.accumulate

    def __iter__(self) -> Iterator[Part]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = self._shuffled(rng) if self.labels is None else self._balanced(rng, self.labels)
        views = rng.integers(2**31 if self.views is None else self.views, size=self.total)
        for step in np.array_split(np.arange(self.total), self.steps):
            for part in np.array_split(step, self.accumulate * self.world)[self.rank :: self.world]:
                yield [(int(order[i]), int(views[i])) for i in part], len(step)

    def _shuffled(self, rng: np.random.Generator) -> np.ndarray:
        passes = -(-self.total // len(self.rows))
        return np.concatenate([rng.permutation(self.rows) for _ in range(passes)])[: self.total]

    def _balanced(self, rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
        """With replacement, every class equally often: the weights of torch's WeightedRandomSampler."""
        counts = np.bincount(labels[self.rows])
        chances = 1 / counts[labels[self.rows]]
        return rng.choice(self.rows, size=self.total, p=chances / chances.sum())


def loaders(
    source: Source,
    rows: Rows,
    machine: Machine,
    seed: int,
    *,
    batch_size: int,
    min_steps: int = 1,
    labels: np.ndarray | None = None,
    views: int | None = None,
) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    """(training, validation), of this process's share of the work. `labels`: see EpochSampler.

    Raises:
        UserError: a step has too few images for its parts, or there are fewer validation images than processes.
    """
    sampler = EpochSampler(
        rows.train,
        batch_size,
        min_steps,
        seed,
        views=views,
        labels=labels,
        accumulate=machine.accumulate,
        rank=machine.rank,
        world=machine.world,
    )
    images = sampler.total // sampler.steps
    if images < 2 * machine.parts:
        raise UserError(
            f"params.yaml: train: a step of {images} images, all that this sample has for one, "
            f"cannot be cut into accumulate × devices × num_nodes = {machine.parts} parts of 2 or more. "
            "Lower accumulate or the number of devices, or take a larger sample."
        )
    if len(rows.validation) < machine.world:
        raise UserError(
            f"params.yaml: train.trainer: {machine.world} processes cannot share {len(rows.validation)} validation "
            "images. Lower devices × num_nodes, or give preprocess.split more to validate on."
        )
    own = rows.validation[machine.rank :: machine.world]
    most = min(VALIDATION_BATCH, 2 * -(-batch_size // machine.parts))
    parts = np.array_split(own, -(-len(own) // most))
    in_order = [([(int(row), None) for row in part], len(part)) for part in parts]
    dataset, pin = BatchDataset(source), machine.device.type == "cuda"
    # as `sampler`, not `batch_sampler`: Lightning tells the epoch to the former alone
    train = DataLoader(
        dataset,
        batch_size=None,
        sampler=sampler,
        num_workers=machine.workers,
        persistent_workers=machine.workers > 0,
        pin_memory=pin,
    )
    return train, DataLoader(dataset, batch_size=None, sampler=in_order, pin_memory=pin)
