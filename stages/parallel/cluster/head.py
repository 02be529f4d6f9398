"""The whole of it: checks before any work; an order to a worker for each model that is not there; all results
restored."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ...shared.core.credentials import without_credentials
from ...shared.core.errors import UserError
from ...shared.core.matrix import Matrix
from ...shared.core.paths import Key
from ...study import PER_MEMBER
from .. import member, schedule
from ..display import Display
from ..member import LOGS, Outcome
from ..params import Params
from ..schedule import Interruptions
from . import commit, jobs, on_ray, on_slurm, orders, remote, restore, worker
from .jobs import Place, Submit
from .orders import Stage
from .remote import Remote
from .worker import Order

LAUNCHERS = {"ray": on_ray.tasks, "slurm": on_slurm.jobs}
NAMES = {"ray": "Ray", "slurm": "Slurm"}


@dataclass(frozen=True)
class Head:
    """What was checked before any work."""

    settings: Params
    commit: str
    repository: str
    remote: Remote
    submit: Submit


@contextmanager
def ready(settings: Params) -> Iterator[Head]:
    """Connected to the cluster until the end of the block.

    Raises:
        UserError: files are not committed, or the remote, the repository or the cluster cannot be used.
    """
    from dvc.repo import Repo

    now = commit.clean()
    repository = commit.repository(settings.cluster.repository)
    if settings.cluster.repository is not None:
        commit.check_published(now, repository)
    with Repo() as repo:
        found = remote.find(repo, settings.cluster.remote)
    with LAUNCHERS[settings.launcher](settings) as submit:
        yield Head(settings, now, repository, found, submit)


def train(
    head: Head, matrix: Matrix, jobs_at_a_time: int | None, environment: Mapping[str, str], received: Interruptions
) -> list[Outcome]:
    """Have all members, trained by workers where the remote does not have them yet.

    Raises:
        UserError: inputs cannot be pushed, or results do not fit what lies here.
        KeyboardInterrupt: an interruption came; the tasks are cancelled.
    """
    keys = matrix.keys()
    targets = {key: [matrix.target(stage, key) for stage in PER_MEMBER] for key in keys}
    missing = restore.restore([target for key in keys for target in targets[key]], environment, received)
    # a stage behind one without a result may have been compared with what an older model left: it is to run as well
    left = {key: from_first(targets[key], missing) for key in keys}
    there = [key for key in keys if not left[key]]
    for key in there:
        member.log_of(key).write_text(restore.lines_about(str(key)), encoding="utf-8")
    waiting = [key for key in keys if left[key]]
    made = make_orders(head, {key: left[key] for key in waiting}, environment, received)
    display = Display(keys, 0, opening(head.settings, len(keys), len(waiting)))
    place = Place(NAMES[head.settings.launcher])
    with display.live:
        for key in there:
            display.started(key, place)
            display.finished(key, place, 0, 0.0)
        schedule.run_all(
            waiting,
            [place] * (jobs_at_a_time or len(waiting)),
            lambda key, _: jobs.submit(key, made[key], head.submit),
            display,
            received,
            poll=1.0,
        )
    done = [target for outcome in display.outcomes if not outcome.failed for target in left.get(outcome.key, [])]
    if lost := restore.restore(done, environment, received):
        raise UserError(
            f"Workers have made {', '.join(lost)}, but the results do not fit what lies here (log: {restore.LOG}). Was "
            "a file edited meanwhile? Commit it and run this again; what fits is restored without training."
        )
    return display.outcomes


def from_first(targets: Sequence[str], missing: Sequence[str]) -> list[str]:
    """The targets from the first one that is missing."""
    first = next((i for i, target in enumerate(targets) if target in missing), len(targets))
    return list(targets[first:])


def make_orders(
    head: Head, left: Mapping[Key, list[str]], environment: Mapping[str, str], received: Interruptions
) -> dict[Key, Order]:
    """One per model; what they read is on the remote then."""
    if not left:
        return {}
    from dvc.repo import Repo

    with Repo() as repo:
        stages = orders.stages_of(repo)
    reads = {key: orders.inputs(targets, stages) for key, targets in left.items()}
    push(sorted({path for paths in reads.values() for path in paths}), head.remote.name, environment, received)
    lock = orders.read_lock()
    return {key: order(head, key, targets, reads[key], stages, lock) for key, targets in left.items()}


def order(
    head: Head, key: Key, targets: list[str], reads: list[str], stages: Mapping[str, Stage], lock: Mapping[str, object]
) -> Order:
    needs = head.settings.cluster
    return {
        "key": str(key),
        "repository": head.repository,
        "commit": head.commit,
        "targets": targets,
        "inputs": reads,
        "lock": orders.lock_for(reads, lock, stages),
        "config": head.remote.config,
        "scratch": needs.scratch,
        "threads": needs.cpus,
        "versions": worker.versions(),
        "environment": mlflow_server(),
    }


def mlflow_server() -> dict[str, str]:
    """Where workers record their runs: on a server, if one is set here. Their own file would end with their clone. User
    and password stay here: an order lies in files of the scheduler."""
    if not os.environ.get("MLFLOW_TRACKING_URI", "").startswith(("http://", "https://")):
        return {}
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")
    return {name: without_credentials(os.environ[name]) for name in names if name in os.environ}


def push(paths: Sequence[str], to: str, environment: Mapping[str, str], received: Interruptions) -> None:
    """Raises UserError when the remote does not take them."""
    log = LOGS / "push.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        command = member.dvc("push", "--remote", to, *paths)
        code = schedule.wait(schedule.spawn(command, environment, file), received)
    if code:
        raise UserError(f"{', '.join(paths)} cannot be pushed to DVC remote {to!r}; {log} says why.")


def opening(settings: Params, models: int, waiting: int) -> str:
    needs = settings.cluster
    name = NAMES[settings.launcher]
    cores = f"{needs.cpus} core{'s' * (needs.cpus != 1)}"
    gpus = f"{needs.gpus or 'no'} GPU{'s' * (needs.gpus > 1)}"
    memory = f", {needs.memory_gb} GB" if needs.memory_gb else ""
    return (
        f"{models} model{'s' * (models != 1)}, {models - waiting} of them there, {waiting} for {name} with {cores}, "
        f"{gpus}{memory} each. Logs: {LOGS}/"
    )
