"""Schedules of the learning rate: torch's own, driven ahead of the training on an optimiser of rate 1.

A factor is the share of the base rate, 1.0 = all of it. All but the plateau are known in advance, one factor for each
optimiser step, so that going on from a checkpoint needs no more than the number of steps taken.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch.optim import SGD, Optimizer
from torch.optim import lr_scheduler as library
from torch.optim.lr_scheduler import LRScheduler

from ...shared.core.errors import UserError
from ..params.recipe import Constant, Cosine, OneCycle, Plateau, Step

Settings = Constant | Cosine | Step | Plateau | OneCycle
_FIRST = 0.01  # of the rate, at the start of a warm-up


class RateSchedule:
    """The factor of the optimiser step that comes next.

    `mode`: whether the number that `epoch_end` is told gets better downwards or upwards.
    Raises UserError when the schedule does not fit into so short a training.
    """

    def __init__(self, settings: Settings, epochs: int, steps_per_epoch: int, mode: Literal["min", "max"]) -> None:
        self._factors = factors(settings, epochs, steps_per_epoch)
        self._warm_up = _warm_up_steps(settings, steps_per_epoch)
        self._taken = 0
        self._rate = _unit_rate()
        self._plateau: library.ReduceLROnPlateau | None = None
        if isinstance(settings, Plateau):
            self._plateau = library.ReduceLROnPlateau(self._rate, mode, settings.factor, settings.patience)

    @property
    def factor(self) -> float:
        """After the last step: that of the last step."""
        known = self._factors[min(self._taken, len(self._factors) - 1)]
        return known * float(self._rate.param_groups[0]["lr"])

    def step(self) -> None:
        """After every optimiser step."""
        if self._taken == len(self._factors):
            raise ValueError(f"the schedule was made for {self._taken} optimiser steps, and here is one more")
        self._taken += 1

    def epoch_end(self, monitored: float) -> None:
        """After every epoch; `monitored` is what early stopping watches. Only a plateau listens, once warmed up."""
        if self._plateau is not None and self._taken > self._warm_up:
            self._plateau.step(float(monitored))

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and lists."""
        state: dict[str, Any] = {"taken": self._taken, "rate": float(self._rate.param_groups[0]["lr"])}
        return state if self._plateau is None else {**state, "plateau": self._plateau.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._taken = int(state["taken"])
        self._rate.param_groups[0]["lr"] = float(state["rate"])
        if self._plateau is not None:
            self._plateau.load_state_dict(state["plateau"])


def factors(settings: Settings, epochs: int, steps_per_epoch: int) -> list[float]:
    """One per optimiser step; a plateau's without its falls."""
    total, rate = epochs * steps_per_epoch, _unit_rate()
    scheduler = _scheduler(rate, settings, total, steps_per_epoch)
    found = [float(rate.param_groups[0]["lr"])]
    rate.step()  # torch warns where a scheduler steps ahead of its optimiser
    for _ in range(total - 1):
        scheduler.step()
        found.append(float(rate.param_groups[0]["lr"]))
    return found


def _unit_rate() -> Optimizer:
    return SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


def _scheduler(rate: Optimizer, settings: Settings, total: int, steps_per_epoch: int) -> LRScheduler:
    if isinstance(settings, OneCycle):
        return _one_cycle(rate, settings, total)
    warm_up = _warm_up_steps(settings, steps_per_epoch)
    if warm_up >= total:
        raise UserError(
            f"params.yaml: train.schedule.warmup_epochs: {settings.warmup_epochs:g} epochs of warm-up leave nothing of "
            f"a training of {total // steps_per_epoch} epochs. Give fewer, or raise train.epochs."
        )
    main = _after_warm_up(rate, settings, total - warm_up, steps_per_epoch)
    if not warm_up:
        return main
    rising = library.LinearLR(rate, start_factor=_FIRST, total_iters=warm_up)
    return library.SequentialLR(rate, [rising, main], milestones=[warm_up])


def _after_warm_up(rate: Optimizer, settings: Settings, total: int, steps_per_epoch: int) -> LRScheduler:
    match settings:
        case Cosine():
            return library.CosineAnnealingLR(rate, T_max=total, eta_min=settings.final)
        case Step():
            return library.StepLR(rate, step_size=settings.every * steps_per_epoch, gamma=settings.factor)
        case _:
            return library.ConstantLR(rate, factor=1.0)


def _one_cycle(rate: Optimizer, settings: OneCycle, total: int) -> LRScheduler:
    if settings.peak_at * total <= 1:
        raise UserError(
            f"params.yaml: train.schedule.peak_at: {settings.peak_at:g} of {total} optimiser steps is no step to rise "
            "in. Train longer (train.epochs, train.min_steps_per_epoch), or choose another schedule."
        )
    return library.OneCycleLR(
        rate,
        max_lr=1.0,
        total_steps=total,
        pct_start=settings.peak_at,
        div_factor=1 / settings.start,
        final_div_factor=settings.start / settings.end,
        cycle_momentum=False,
    )


def _warm_up_steps(settings: Settings, steps_per_epoch: int) -> int:
    return 0 if isinstance(settings, OneCycle) else round(settings.warmup_epochs * steps_per_epoch)
