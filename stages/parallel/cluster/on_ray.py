"""A task of Ray per model. Ray chooses the node, keeps the log, and starts the task again when its worker dies."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...shared.core.errors import UserError
from ..params import Params
from . import worker
from .jobs import BY_VALUE, Lost, Submit
from .worker import Order, Report

GB = 10**9


@dataclass(frozen=True)
class RayTask:
    ref: Any

    def report(self) -> Report | None:
        import ray

        if not ray.wait([self.ref], timeout=0)[0]:
            return None
        try:
            report: Report = ray.get(self.ref)
            return report
        except ray.exceptions.RayError as error:
            raise Lost(f"Ray gave it up ({type(error).__name__}): {first_line(error)}") from None

    def cancel(self, *, insist: bool) -> None:
        import ray

        ray.cancel(self.ref, force=insist)


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]


@contextmanager
def tasks(settings: Params) -> Iterator[Submit]:
    """What starts a task, until the end of the block.

    Raises:
        UserError: Ray is not installed, or the cluster does not answer.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError(
            "params.yaml: parallel.launcher: ray: Ray is not installed here. Run: pip install --no-deps -r "
            "requirements-ray.txt"
        ) from None
    needs = settings.cluster
    before = signal.getsignal(signal.SIGTERM)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # as it is from Ray's next version on: without GPUs asked for, what the node shows stays as it is
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(address=settings.ray.address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = settings.ray.address or os.environ.get("RAY_ADDRESS") or "this machine"
        raise UserError(
            f"params.yaml: parallel.ray.address: no Ray cluster answers at {where}: {first_line(error)}. Start one "
            "(`ray start --head`, then `ray start --address=…` on each node), or correct the address."
        ) from None
    try:
        signal.signal(signal.SIGTERM, before)  # Ray sets its own
        nodes: Any = ray.nodes  # neither has types
        by_value: Any = ray.cloudpickle.register_pickle_by_value
        for module in BY_VALUE:
            by_value(module)
        task: Any = ray.remote(
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            memory=(needs.memory_gb or 0) * GB,
            max_retries=needs.retries,
        )(worker.run)

        def submit(order: Order) -> RayTask:
            return RayTask(task.options(name=order["key"]).remote(order))

        check_fits(settings, nodes())
        yield submit
    finally:
        ray.shutdown()


def check_fits(settings: Params, nodes: list[dict[str, Any]]) -> None:
    """Raises UserError when no node of the cluster can ever run one model; Ray would wait for ever."""
    needs = settings.cluster
    wanted = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": (needs.memory_gb or 0) * GB}
    offers = [node["Resources"] for node in nodes if node["Alive"]]
    if any(all(offer.get(name, 0) >= count for name, count in wanted.items()) for offer in offers):
        return
    each = [f"{o.get('CPU', 0):g} cores, {o.get('GPU', 0):g} GPUs, {o.get('memory', 0) / GB:.0f} GB" for o in offers]
    raise UserError(
        f"params.yaml: parallel.cluster: one model is to have {needs.cpus} cores, {needs.gpus} GPUs and "
        f"{needs.memory_gb or 0} GB, and no node of the Ray cluster offers that. Nodes: {'; '.join(each) or 'none'}."
    )
