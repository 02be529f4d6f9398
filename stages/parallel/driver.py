"""The whole of it: the stages before the models, the models, the stages behind them, and the last message."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from .. import compare, study
from ..shared.core.errors import UserError
from ..shared.core.paths import PARAMS, Key, report_dir
from . import machine, member, schedule
from .display import Display
from .machine import Slot
from .member import Outcome
from .schedule import Interruptions

STAGES = list(study.STAGES)
BEFORE = STAGES[STAGES.index(study.PER_MEMBER[0]) - 1]  # DVC brings what lies before it up to date as well
AFTER = STAGES[STAGES.index(study.PER_MEMBER[-1]) + 1 :]


def run_study(raw: Mapping[str, Any], keys: Sequence[Key], jobs: int | None) -> None:
    """Make everything that params.yaml asks for, `jobs` models at a time; None: one per GPU, or one on a CPU.

    Raises:
        UserError: models failed; the others are trained and compared.
        KeyboardInterrupt: Ctrl-C, SIGTERM or a closed terminal; all processes have ended.
    """
    slots = slots_for(raw, len(keys), jobs)
    environment = member.environment()
    with schedule.interruptions() as received:
        run(["repro", BEFORE], environment, received, f"The stages up to {BEFORE} failed, so no model was started.")
        display = Display(keys, slots)
        with display.live:
            schedule.run_all(
                keys, slots, lambda key, slot: member.start(key, slot.environment(environment)), display, received
            )
        if any(outcome.failed for outcome in display.outcomes):
            finish_without(display.outcomes, environment, received)
        else:
            run(["repro"], environment, received, "All models are trained; the stages behind them failed.")
            compare.show()


def slots_for(raw: Mapping[str, Any], models: int, jobs: int | None) -> list[Slot]:
    """One per job, and never more than models."""
    trainer = study.resolve("train", raw, study.parse_matrix(raw).keys()[0]).trainer
    chosen = isinstance(trainer.devices, list)  # by the user
    gpus = [] if chosen or trainer.accelerator in ("cpu", "mps") else machine.gpus()
    each = trainer.devices if gpus else 1
    jobs = jobs or max(1, len(gpus) // each)
    return machine.share(min(jobs, models), gpus, machine.cores(), each)


def run(arguments: Sequence[str], environment: Mapping[str, str], received: Interruptions, otherwise: str) -> None:
    """DVC in the foreground."""
    if schedule.wait(schedule.spawn(member.dvc(*arguments), environment), received) != 0:
        raise UserError(f"{otherwise} DVC's last lines above say why.")


def finish_without(outcomes: Sequence[Outcome], environment: Mapping[str, str], received: Interruptions) -> None:
    """Compare the models that are complete, and name the others."""
    failed = [outcome for outcome in outcomes if outcome.failed]
    faults = [f"{o.key}: {o.failed} failed: {' '.join(o.reasons)} (log: {o.log})" for o in failed]
    for outcome in failed:
        forget(outcome)
    rest = "No model is complete, so there is nothing to compare."
    if len(failed) < len(outcomes):
        messages = "; ".join(faults) + f"; and {' and '.join(AFTER)} failed."
        run(["repro", "--single-item", *AFTER], environment, received, messages)
        compare.show()
        rest = "The others are trained and compared; the leaderboard and the report mark what is missing."
    remedy = f"Fix {PARAMS} or the cause and run this again; it goes on here."
    raise UserError("\n".join([*faults, f"{len(failed)} of {len(outcomes)} models failed. {rest} {remedy}"]))


def forget(outcome: Outcome) -> None:
    """Delete the reports that an older model left for the failed stage and those behind it: they would pass for the new
    model's. DVC has deleted train's own before it ran, and keeps all of them in its cache."""
    at = study.PER_MEMBER.index(outcome.failed or study.PER_MEMBER[0])
    for folder in (report_dir(stage, outcome.key) for stage in study.PER_MEMBER[max(at, 1) :]):
        if folder.exists():
            shutil.rmtree(folder)
