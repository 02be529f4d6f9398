"""Schedules of the learning rate, as closed formulas.

A factor is the share of the base rate: 1.0 is all of it. It depends on the number of optimiser steps taken and, for a
plateau, on the monitored values of the epochs so far. A resumed training needs nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...shared.core.errors import UserError
from ..params.recipe import Cosine, OneCycle, Plateau, Step
from ..params.recipe import Schedule as Settings

FIRST = 0.01  # of the rate, at the start of a warm-up
THRESHOLD = 1e-4  # relative; a smaller improvement is none to a plateau, as in torch's ReduceLROnPlateau


@dataclass(frozen=True)
class Schedule:
    """`mode`: whether the monitored value is better when it is lower or higher.

    Raises:
        UserError: one_cycle does not fit into so short a training.
    """

    settings: Settings
    epochs: int
    steps_per_epoch: int
    mode: Literal["min", "max"]

    def __post_init__(self) -> None:
        if isinstance(self.settings, OneCycle) and self.settings.peak_at * self.steps <= 1:
            raise UserError(
                f"params.yaml: train.schedule.peak_at: {self.settings.peak_at:g} of {self.steps} optimiser steps "
                "leaves no step to rise in. Train longer (train.epochs, train.min_steps_per_epoch), or choose "
                "another schedule."
            )

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    @property
    def warm_up(self) -> int:
        """Steps."""
        return 0 if isinstance(self.settings, OneCycle) else round(self.settings.warmup_epochs * self.steps_per_epoch)

    def factor(self, step: int, monitored: Sequence[float] = ()) -> float:
        """Of optimiser step `step`, from 0. `monitored`: one value per finished epoch; only a plateau reads it."""
        if step >= self.steps:
            raise ValueError(f"the schedule was made for {self.steps} optimiser steps, and here is one more")
        if step < self.warm_up:
            return FIRST + (1 - FIRST) * step / self.warm_up
        step, steps = step - self.warm_up, self.steps - self.warm_up
        match self.settings:
            case Cosine(final=final):
                return half_cosine(1, final, step / steps)
            case Step(every=every, factor=factor):
                return factor ** (step // (every * self.steps_per_epoch))
            case Plateau(factor=factor, patience=patience):
                return factor ** plateaus(monitored[self.warm_up // self.steps_per_epoch :], patience, self.mode)
            case OneCycle(peak_at=peak_at, start=start, end=end):  # as torch's: the end is the last step
                peak, last = peak_at * steps - 1, steps - 1
                if step <= peak:
                    return half_cosine(start, 1, step / peak)
                return half_cosine(1, end, (step - peak) / (last - peak))
        return 1.0

    def mean(self, epoch: int, monitored: Sequence[float] = ()) -> float:
        """The mean factor over the steps of an epoch, counted from 0."""
        first = epoch * self.steps_per_epoch
        return sum(self.factor(first + i, monitored) for i in range(self.steps_per_epoch)) / self.steps_per_epoch


def half_cosine(start: float, end: float, share: float) -> float:
    """From `start` at share 0 to `end` at share 1."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def plateaus(values: Sequence[float], patience: int, mode: Literal["min", "max"]) -> int:
    """How often more than `patience` epochs in a row brought no improvement, as torch's ReduceLROnPlateau counts."""
    best, waiting, count = math.inf if mode == "min" else -math.inf, 0, 0
    for value in values:
        if value < best * (1 - THRESHOLD) if mode == "min" else value > best * (1 + THRESHOLD):
            best, waiting = value, 0
        else:
            waiting += 1
        if waiting > patience:
            waiting, count = 0, count + 1
    return count
