"""The whole of it: what comes before the models, the models, what comes after them, and the last word."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from .. import study
from ..shared.core.errors import UserError
from ..shared.core.paths import PARAMS, Key, report_dir
from . import machine, member, schedule
from .machine import Slot
from .member import Outcome
from .show import Show

STAGES = list(study.STAGES)
BEFORE = STAGES[STAGES.index(study.PER_MEMBER[0]) - 1]  # DVC brings what lies before it up to date as well
AFTER = STAGES[STAGES.index(study.PER_MEMBER[-1]) + 1 :]


def carry_all(raw: Mapping[str, Any], keys: Sequence[Key], jobs: int | None) -> None:
    """Make everything that params.yaml asks for, `jobs` models at a time; None: one per GPU, or one on a CPU.

    Raises:
        UserError: models failed; the others are made and compared.
    """
    slots = slots_for(raw, len(keys), jobs)
    environment = member.environment()
    with schedule.orderly():
        run(["repro", BEFORE], environment, f"The stages up to {BEFORE} failed, so no model was started.")
        show = Show(list(keys), slots)
        try:
            schedule.carry(keys, slots, lambda key, slot: member.start(key, slot.environment(environment)), show)
        finally:
            show.close()
        if show.failed:
            finish_without(show.outcomes, environment)
        else:
            run(["repro"], environment, "All models are made; what follows them failed.")
            show_leaderboard()


def slots_for(raw: Mapping[str, Any], models: int, jobs: int | None) -> list[Slot]:
    """Never more of them than models."""
    trainer = study.resolve("train", raw, study.parse_matrix(raw).keys()[0]).trainer
    named = isinstance(trainer.devices, list)  # then the user leases
    gpus = [] if named or trainer.accelerator in ("cpu", "mps") else machine.gpus()
    each = trainer.devices if gpus else 1
    jobs = jobs or max(1, len(gpus) // each)
    return machine.share(min(jobs, models), gpus, machine.cores(), each)


def run(arguments: Sequence[str], environment: Mapping[str, str], otherwise: str) -> None:
    """DVC in the foreground."""
    if schedule.wait(lambda: member.spawn(member.dvc(*arguments), env=environment)) != 0:
        raise UserError(f"{otherwise} DVC's last lines above say why.")


def finish_without(outcomes: Sequence[Outcome], environment: Mapping[str, str]) -> None:
    """Compare those that are there, and name the others."""
    failed = [outcome for outcome in outcomes if outcome.failed]
    for outcome in failed:
        forget(outcome)
    some = len(failed) < len(outcomes)
    if some:
        lost = "; ".join(faults(failed)) + f"; and {' and '.join(AFTER)} failed."
        run(["repro", "--single-item", *AFTER], environment, lost)
        show_leaderboard()
    raise UserError("\n".join([*faults(failed), remedy(len(outcomes), len(failed))]))


def forget(outcome: Outcome) -> None:
    """DVC deletes what a stage left before it runs again. What the stages behind a failed one left of an older model
    would pass for the new one's: it goes too (DVC's cache keeps it)."""
    at = study.PER_MEMBER.index(outcome.failed or study.PER_MEMBER[0])
    for folder in (report_dir(stage, outcome.key) for stage in study.PER_MEMBER[max(at, 1) :]):
        if folder.exists():
            shutil.rmtree(folder)


def faults(failed: Sequence[Outcome]) -> list[str]:
    return [f"{o.key}: {o.failed} failed: {' '.join(o.reasons)} (log: {o.log})" for o in failed]


def remedy(models: int, failed: int) -> str:
    rest = "No model is complete, so there is nothing to compare."
    if failed < models:
        rest = "The others are made and compared; the leaderboard and the report mark what is missing."
    return f"{failed} of {models} models failed. {rest} Mend {PARAMS} or the cause and run this again; it goes on here."


def show_leaderboard() -> None:
    from ..compare.terminal import show

    show()
