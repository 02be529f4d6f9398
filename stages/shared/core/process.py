"""Which of the processes that train one model together this one is, and how it ends when it is asked to."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import UserError


class Terminated(BaseException):
    """SIGTERM came; what was finished is saved."""


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Until the end of the block SIGTERM raises Terminated, as Ctrl-C raises KeyboardInterrupt. Main thread only."""

    def end(*_: Any) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# as torchrun, Lightning's own launcher and SLURM say it, in the order in which Lightning believes them
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def rank() -> int:
    """0 for the process that writes the outputs and the MLflow run, also where there is only one."""
    return next((int(os.environ[name]) for name in RANKS if name in os.environ), 0)


def is_main() -> bool:
    return rank() == 0


def check_world(wanted: int) -> None:
    """Raises UserError when a launcher started another number of processes than the settings speak of: each batch
    would be cut into `wanted` parts, some of which nobody or everybody trains on. Lightning does not look."""
    started = int(os.environ.get("WORLD_SIZE", wanted))
    if started != wanted:
        raise UserError(
            f"params.yaml: train.trainer: devices × num_nodes is {wanted}, and the launcher started {started} processes"
            f" (WORLD_SIZE). Start {wanted} of them (torchrun's nnodes × nproc-per-node), or set devices × num_nodes "
            f"to {started}, with strategy: ddp."
        )
