"""The closed formulas against torch's own schedulers, driven step by step."""

import pytest
import torch
from torch.optim import lr_scheduler as library

from stages.shared.core.errors import UserError
from stages.train.params.recipe import Constant, Cosine, OneCycle, Plateau, Step
from stages.train.recipe.schedules import Schedule

EPOCHS, STEPS = 6, 5
TOTAL = EPOCHS * STEPS


def optimizer():
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


def rates(make, steps=TOTAL):
    """Of each step, under torch's scheduler."""
    sgd, found = optimizer(), []
    scheduler = make(sgd)
    for _ in range(steps):
        found.append(sgd.param_groups[0]["lr"])
        sgd.step()
        scheduler.step() if len(found) < steps else None
    return found


def warmed_up(steps, make):
    def both(sgd):
        rising = library.LinearLR(sgd, start_factor=0.01, total_iters=steps)
        return library.SequentialLR(sgd, [rising, make(sgd)], milestones=[steps])

    return both


def constant(sgd):
    return library.ConstantLR(sgd, factor=1.0)


def one_cycle(peak_at, start, end):
    return lambda sgd: library.OneCycleLR(
        sgd, 1.0, TOTAL, pct_start=peak_at, div_factor=1 / start, final_div_factor=start / end, cycle_momentum=False
    )


CASES = [
    (Constant(), constant),
    (Constant(warmup_epochs=1.5), warmed_up(8, constant)),  # 7.5 steps, rounded to even
    (Cosine(), lambda sgd: library.CosineAnnealingLR(sgd, TOTAL)),
    (Cosine(final=0.1), lambda sgd: library.CosineAnnealingLR(sgd, TOTAL, eta_min=0.1)),
    (
        Cosine(final=0.1, warmup_epochs=2),
        warmed_up(10, lambda sgd: library.CosineAnnealingLR(sgd, 20, eta_min=0.1)),
    ),
    (Step(every=2, factor=0.5), lambda sgd: library.StepLR(sgd, 10, 0.5)),
    (Step(every=1, factor=0.3, warmup_epochs=1), warmed_up(5, lambda sgd: library.StepLR(sgd, 5, 0.3))),
    (Plateau(warmup_epochs=1, patience=9), warmed_up(5, constant)),
    (OneCycle(), one_cycle(0.3, 0.04, 4e-6)),
    (OneCycle(peak_at=0.5, start=0.2, end=0.01), one_cycle(0.5, 0.2, 0.01)),
]


@pytest.mark.parametrize(("settings", "make"), CASES, ids=[repr(settings) for settings, _ in CASES])
def test_every_step_has_the_rate_that_torch_gives_it(settings, make):
    schedule = Schedule(settings, EPOCHS, STEPS, "min")
    found = [schedule.factor(step) for step in range(TOTAL)]
    assert found == pytest.approx(rates(make), abs=1e-9)
    means = [sum(found[i : i + STEPS]) / STEPS for i in range(0, TOTAL, STEPS)]
    assert [schedule.mean(epoch) for epoch in range(EPOCHS)] == pytest.approx(means)


LOSSES = [1.0, 0.8, 0.9, 0.85, 0.9, 0.7, 0.69999, 0.7, 0.7, 0.7, 0.7]
SCORES = [0.5, 0.6, 0.5, 0.6, 0.6, 0.9, 0.90001, 0.8, 0.8, 0.95, 0.1]


@pytest.mark.parametrize("patience", [0, 1, 2])
@pytest.mark.parametrize(("mode", "values"), [("min", LOSSES), ("max", SCORES)])
def test_a_plateau_lowers_the_rate_when_torch_does(mode, values, patience):
    sgd = optimizer()
    scheduler = library.ReduceLROnPlateau(sgd, mode, factor=0.5, patience=patience)
    expected = []
    for value in values:
        expected.append(sgd.param_groups[0]["lr"])
        scheduler.step(value)
    schedule = Schedule(Plateau(factor=0.5, patience=patience), len(values), STEPS, mode)
    found = [schedule.factor(epoch * STEPS, values[:epoch]) for epoch in range(len(values))]
    assert found == expected
    assert min(found) < 1


@pytest.mark.parametrize(("warm_up", "fall"), [(3, 5), (2.5, 4)])
def test_epochs_of_the_warm_up_are_no_plateau(warm_up, fall):
    """The first epoch that is not all warm-up sets the best."""
    schedule = Schedule(Plateau(factor=0.5, patience=0, warmup_epochs=warm_up), 6, 4, "min")
    found = [schedule.factor(epoch * 4 + 3, [1.0] * epoch) for epoch in range(6)]
    assert found.index(0.5) == fall


def test_a_schedule_that_does_not_fit_says_what_to_change():
    with pytest.raises(UserError, match=r"peak_at: 0\.3 of 3 optimiser steps"):
        Schedule(OneCycle(), 3, 1, "min")


def test_a_step_beyond_the_training_is_an_error():
    schedule = Schedule(Cosine(), epochs=2, steps_per_epoch=5, mode="min")
    assert schedule.factor(9) > 0
    with pytest.raises(ValueError, match="10 optimiser steps, and here is one more"):
        schedule.factor(10)
