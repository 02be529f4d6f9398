"""A job of Slurm per model, by submitit. Slurm chooses the node; a job that is preempted or reaches its time limit is
queued again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...shared.core.errors import UserError
from ..params import Params
from . import worker
from .jobs import BY_VALUE, Lost, Submit
from .worker import Order, Report

FOLDER = Path(".lightbox/slurm")  # scripts, logs and results of jobs; all nodes have to see it


@dataclass
class SlurmJob:
    """retries: how often it is submitted again when it ends without a result."""

    executor: Any
    order: Order
    job: Any
    retries: int
    cancelled: bool = False

    def report(self) -> Report | None:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        if self.cancelled:
            raise Lost("cancelled")
        if not self.job.done():
            return None
        try:
            report: Report = self.job.result()
            return report
        except FailedJobError as error:  # the worker's own code failed
            raise Lost(f"job {self.job.job_id} failed: {str(error).strip().splitlines()[-1]}") from None
        except UncompletedJobError:
            if self.retries == 0:
                raise Lost(
                    f"job {self.job.job_id} ended without a result (state {self.job.state}): it was killed or reached "
                    f"its limit of time or memory. Its log: {self.job.paths.stdout}"
                ) from None
        self.retries -= 1
        self.job = self.executor.submit(worker.Requeued(), self.order)
        return None

    def cancel(self, *, insist: bool) -> None:
        self.job.cancel(check=False)
        self.cancelled = True  # Slurm's accounts would say so a minute later


@contextmanager
def jobs(settings: Params, kind: Literal["slurm", "local"] = "slurm") -> Iterator[Submit]:
    """What submits a job, until the end of the block. kind local: processes of this machine, for tests.

    Raises:
        UserError: submitit or Slurm is not here, or Slurm has no such option.
    """
    try:
        import cloudpickle
        import submitit
    except ModuleNotFoundError:
        raise UserError(
            "params.yaml: parallel.launcher: slurm: submitit is not installed here. Run: pip install --no-deps -r "
            "requirements-slurm.txt"
        ) from None
    for module in BY_VALUE:
        cloudpickle.register_pickle_by_value(module)
    needs, slurm = settings.cluster, settings.slurm
    try:
        executor = submitit.AutoExecutor(
            FOLDER.absolute(), cluster=kind, slurm_max_num_timeout=needs.retries, local_max_num_timeout=needs.retries
        )
        executor.update_parameters(
            name="lightbox",
            timeout_min=slurm.minutes,
            cpus_per_task=needs.cpus,
            gpus_per_node=needs.gpus,
            stderr_to_stdout=True,
            **({"mem_gb": needs.memory_gb} if needs.memory_gb else {}),
            **({"slurm_partition": slurm.partition} if slurm.partition else {}),
            slurm_setup=slurm.setup,
            slurm_additional_parameters=dict(slurm.options),
        )
    except (RuntimeError, ValueError, TypeError, NameError) as error:
        raise UserError(f"params.yaml: parallel.launcher: slurm: {error}") from None

    def submit(order: Order) -> SlurmJob:
        return SlurmJob(executor, order, executor.submit(worker.Requeued(), order), needs.retries)

    yield submit
