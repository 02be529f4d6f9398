"""The whole of it: the stages before the models, the models, the stages behind them, and the last message."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from .. import compare, study
from ..shared.core.errors import UserError
from ..shared.core.hardware import cores
from ..shared.core.matrix import Matrix
from ..shared.core.paths import PARAMS, Key, report_dir
from . import machine, member, schedule, server, stamp
from .cluster import head
from .display import Display, opening
from .machine import Slot
from .member import Outcome
from .params import Params
from .schedule import Interruptions

STAGES = list(study.STAGES)
BEFORE = STAGES[STAGES.index(study.PER_MEMBER[0]) - 1]  # DVC brings what lies before it up to date as well
AFTER = STAGES[STAGES.index(study.PER_MEMBER[-1]) + 1 :]
Train = Callable[[Mapping[str, str], Interruptions], list[Outcome]]  # all models, given the environment


def run_study(raw: Mapping[str, Any], matrix: Matrix, settings: Params, jobs: int | None) -> None:
    """Make everything that params.yaml asks for, `jobs` models at a time; None: one per GPU, or one per core; on a
    cluster, as many as it takes.

    Raises:
        UserError: models failed; the others are trained and compared.
        KeyboardInterrupt: Ctrl-C, SIGTERM or a closed terminal; all processes have ended.
    """
    with schedule.interruptions() as received:
        own = [study.resolve("download", raw).folder.path, study.resolve("validate", raw).expectations]
        inputs = stamp.inputs(own)
        with ExitStack() as stack:
            if settings.launcher == "local":
                slots = slots_for(raw, matrix.keys(), jobs)
                train: Train = partial(side_by_side, matrix, slots)
            else:
                check_devices(raw, matrix.keys()[0], settings)
                slots = machine.share(1, [], cores())
                train = partial(head.train, stack.enter_context(head.ready(settings)), matrix, jobs)
            environment = stack.enter_context(server.running(member.environment(slots[0]), modules(raw, matrix.keys())))
            make(matrix.keys(), train, environment, received)
        if stamp.inputs(own) == inputs:  # nobody has edited a file meanwhile
            stamp.remember(own, len(matrix.keys()))
        compare.show()


def make(keys: Sequence[Key], train: Train, environment: Mapping[str, str], received: Interruptions) -> None:
    """All stages, in the order of the pipeline."""
    if schedule.wait(schedule.spawn([sys.executable, "-m", "stages", "check"], environment), received):
        raise UserError(f"{PARAMS}: not valid, see above; nothing was run.")
    repro([BEFORE], environment, received, f"The stages up to {BEFORE} failed, so no model was started.")
    if schedule.wait(schedule.spawn([sys.executable, "-m", "stages", "check", "--arrays"], environment), received):
        raise UserError(f"{PARAMS}: not for these images, see above; no model was started.")
    if failed := [outcome for outcome in train(environment, received) if outcome.failed]:
        finish_without(failed, len(keys), environment, received)
    compared(environment, received, "All models are trained")


def side_by_side(
    matrix: Matrix, slots: Sequence[Slot], environment: Mapping[str, str], received: Interruptions
) -> list[Outcome]:
    """All models on this machine, one per slot at a time."""
    keys = matrix.keys()
    display = Display(keys, len(slots), opening(len(keys), slots))
    with display.live:
        schedule.run_all(
            keys, slots, lambda key, slot: member.start(key, matrix, slot.environment(environment)), display, received
        )
    return display.outcomes


def modules(raw: Mapping[str, Any], keys: Sequence[Key]) -> list[str]:
    """What the server imports: what all stages need, and timm, which takes a second, where a backbone is timm's."""
    sources = {study.entry("backbones", key.backbone, raw).source for key in keys}
    return [*server.MODULES, *(["timm"] if "timm" in sources else [])]


def slots_for(raw: Mapping[str, Any], keys: Sequence[Key], jobs: int | None) -> list[Slot]:
    """One per job, and never more than models."""
    trainer = study.resolve("train", raw, keys[0]).trainer
    chosen = isinstance(trainer.devices, list)  # by the user
    gpus = [] if chosen or trainer.accelerator in ("cpu", "mps") else machine.gpus()
    each = trainer.devices if gpus else 1
    on_cpu = trainer.accelerator == "cpu" or (trainer.accelerator == "auto" and sys.platform != "darwin")
    jobs = jobs or (len(gpus) // each if gpus else machine.side_by_side() if on_cpu and not chosen else 1)
    return machine.share(max(1, min(jobs, len(keys))), gpus, cores(), each)


def check_devices(raw: Mapping[str, Any], key: Key, settings: Params) -> None:
    """Raises UserError when a model needs more than the cluster is asked for."""
    trainer, gpus = study.resolve("train", raw, key).trainer, settings.cluster.gpus
    if trainer.num_nodes > 1:
        raise UserError(
            f"{PARAMS}: train.trainer.num_nodes is {trainer.num_nodes}: a worker trains its model on one node. Set it "
            "to 1, or parallel.launcher to local."
        )
    wanted = len(trainer.devices) if isinstance(trainer.devices, list) else trainer.devices
    if trainer.accelerator == "gpu" and gpus < wanted:
        raise UserError(
            f"{PARAMS}: train.trainer asks for {wanted} GPU{'s' * (wanted != 1)}, and parallel.cluster.gpus is {gpus}. "
            f"Set it to {wanted}, or train.trainer.accelerator to auto."
        )


def repro(arguments: Sequence[str], environment: Mapping[str, str], received: Interruptions, otherwise: str) -> None:
    """DVC in the foreground."""
    if schedule.wait(schedule.spawn(member.dvc("repro", *arguments), environment), received) != 0:
        raise UserError(f"{otherwise} DVC's last lines above say why.")


def compared(environment: Mapping[str, str], received: Interruptions, otherwise: str) -> None:
    """The stages behind the models. Those before them and the models are up to date, so DVC need not look at them."""
    repro(["--single-item", *AFTER], environment, received, f"{otherwise}; {' and '.join(AFTER)} failed.")


def finish_without(
    failed: Sequence[Outcome], models: int, environment: Mapping[str, str], received: Interruptions
) -> None:
    """Compare the models that are complete, and name the others."""
    faults = [f"{o.key}: {o.failed} failed: {' '.join(o.reasons)} (log: {o.log})" for o in failed]
    for outcome in failed:
        forget(outcome)
    rest = "No model is complete, so there is nothing to compare."
    if len(failed) < models:
        compared(environment, received, "; ".join(faults))
        compare.show()
        rest = "The others are trained and compared; the leaderboard and the report mark what is missing."
    remedy = f"Fix {PARAMS} or the cause and run this again; it goes on here."
    raise UserError("\n".join([*faults, f"{len(failed)} of {models} models failed. {rest} {remedy}"]))


def forget(outcome: Outcome) -> None:
    """Delete the reports that an older model left for the failed stage and those behind it: they would pass for the new
    model's. DVC has deleted train's own before it ran, and keeps all of them in its cache."""
    at = study.PER_MEMBER.index(outcome.failed or study.PER_MEMBER[0])
    for folder in (report_dir(stage, outcome.key) for stage in study.PER_MEMBER[max(at, 1) :]):
        if folder.exists():
            shutil.rmtree(folder)
