import io
import math

import pytest
import torch

from stages.shared.core.errors import UserError
from stages.train.params.recipe import Constant, Cosine, OneCycle, Plateau, Step
from stages.train.recipe.schedules import RateSchedule

EPOCHS, STEPS = 6, 5
TOTAL = EPOCHS * STEPS


def run(schedule, steps=TOTAL, monitored=lambda epoch: 1.0):
    found = []
    for _ in range(steps):
        found.append(schedule.factor)
        schedule.step()
        if len(found) % STEPS == 0:
            schedule.epoch_end(monitored(len(found) // STEPS))
    return found


def warm_up(t, steps):
    return 0.01 + 0.99 * t / steps


def half_cosine(share, start, end):
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def one_cycle(t, peak_at, start, end):
    top, last = peak_at * TOTAL - 1, TOTAL - 1
    return half_cosine(t / top, start, 1) if t <= top else half_cosine((t - top) / (last - top), 1, end)


FORMULAS = [
    (Constant(), lambda t: 1.0),
    (Constant(warmup_epochs=1.5), lambda t: warm_up(t, 8) if t < 8 else 1.0),  # 7.5 steps, rounded to even
    (Cosine(), lambda t: half_cosine(t / TOTAL, 1, 0)),
    (Cosine(final=0.1), lambda t: half_cosine(t / TOTAL, 1, 0.1)),
    (Cosine(final=0.1, warmup_epochs=2), lambda t: warm_up(t, 10) if t < 10 else half_cosine((t - 10) / 20, 1, 0.1)),
    (Step(every=2, factor=0.5), lambda t: 0.5 ** (t // 10)),
    (Step(every=1, factor=0.3, warmup_epochs=1), lambda t: warm_up(t, 5) if t < 5 else 0.3 ** ((t - 5) // 5)),
    (Plateau(warmup_epochs=1, patience=9), lambda t: warm_up(t, 5) if t < 5 else 1.0),
    (OneCycle(), lambda t: one_cycle(t, 0.3, 1 / 25, 4e-6)),
    (OneCycle(peak_at=0.5, start=0.2, end=0.01), lambda t: one_cycle(t, 0.5, 0.2, 0.01)),
]
NAMES = [repr(settings) for settings, _ in FORMULAS]


@pytest.mark.parametrize(("settings", "formula"), FORMULAS, ids=NAMES)
def test_every_step_has_the_rate_of_the_closed_formula(settings, formula):
    found = run(RateSchedule(settings, EPOCHS, STEPS, "min"))
    assert found == pytest.approx([formula(t) for t in range(TOTAL)], abs=1e-12)


def plateau_by_hand(values, factor, patience, better):
    """The factor of every epoch."""
    found, rate, best, bad = [], 1.0, None, 0
    for value in values:
        found.append(rate)
        if best is None or better(value, best):
            best, bad = value, 0
        else:
            bad += 1
        if bad > patience:
            rate, bad = rate * factor, 0
    return found


LOSSES = [1.0, 0.8, 0.9, 0.85, 0.9, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]
SCORES = [0.5, 0.6, 0.5, 0.6, 0.6, 0.9, 0.8, 0.8, 0.8, 0.95, 0.1]


@pytest.mark.parametrize("patience", [0, 1, 2])
@pytest.mark.parametrize(("mode", "values", "better"), [("min", LOSSES, float.__lt__), ("max", SCORES, float.__gt__)])
def test_a_plateau_lowers_the_rate_after_its_patience(mode, values, better, patience):
    schedule = RateSchedule(Plateau(factor=0.5, patience=patience), len(values), STEPS, mode)
    found = run(schedule, len(values) * STEPS, lambda epoch: values[epoch - 1])
    assert found[::STEPS] == plateau_by_hand(values, 0.5, patience, better)
    assert min(found) < 1


def test_epochs_of_the_warm_up_are_no_plateau():
    schedule = RateSchedule(Plateau(factor=0.5, patience=0, warmup_epochs=3), 6, STEPS, "min")
    found = run(schedule, 6 * STEPS)
    assert found[3 * STEPS :: STEPS] == pytest.approx([1.0, 1.0, 0.5])  # the first epoch behind it sets the best


@pytest.mark.parametrize("settings", [s for s, _ in FORMULAS] + [Plateau(patience=0, factor=0.5)], ids=repr)
@pytest.mark.parametrize("stop", [7, 15])
def test_going_on_from_a_checkpoint_changes_nothing(settings, stop):
    def values(epoch):
        return [3.0, 2.0, 2.0, 2.5, 1.0, 1.0][epoch - 1]

    whole = run(RateSchedule(settings, EPOCHS, STEPS, "min"), TOTAL, values)
    first = RateSchedule(settings, EPOCHS, STEPS, "min")
    begun = run(first, stop, values)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = RateSchedule(settings, EPOCHS, STEPS, "min")
    second.load_state_dict(torch.load(file, weights_only=True))
    rest = []
    for t in range(stop, TOTAL):
        rest.append(second.factor)
        second.step()
        if (t + 1) % STEPS == 0:
            second.epoch_end(values((t + 1) // STEPS))
    assert begun + rest == whole


def test_a_checkpoint_holds_plain_values_only():
    def plain(value):
        if isinstance(value, dict):
            return all(plain(v) for v in value.values())
        return all(map(plain, value)) if isinstance(value, list) else isinstance(value, int | float | str)

    schedule = RateSchedule(Plateau(), EPOCHS, STEPS, "max")
    run(schedule, monitored=lambda epoch: torch.tensor(0.5))
    assert plain(schedule.state_dict())


def test_a_schedule_that_does_not_fit_says_what_to_change():
    with pytest.raises(UserError, match=r"warmup_epochs: 3 epochs of warm-up leave nothing of a training of 3 epochs"):
        RateSchedule(Cosine(warmup_epochs=3), 3, 10, "min")
    with pytest.raises(UserError, match=r"peak_at: 0\.3 of 3 optimiser steps"):
        RateSchedule(OneCycle(), 3, 1, "min")


def test_more_steps_than_planned_are_an_error():
    schedule = RateSchedule(OneCycle(), EPOCHS, STEPS, "min")
    run(schedule)
    with pytest.raises(ValueError, match="made for 30 optimiser steps"):
        schedule.step()


def test_no_schedule_warns(recwarn):
    for settings, _ in FORMULAS:
        run(RateSchedule(settings, EPOCHS, STEPS, "min"))
    assert [str(w.message) for w in recwarn] == []
