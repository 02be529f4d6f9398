"""Which of the processes that train one model together this one is."""

from __future__ import annotations

import os


class Terminated(BaseException):
    """SIGTERM came; what was finished is saved."""


# as torchrun, Lightning's own launcher and SLURM say it, in the order in which Lightning believes them
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def rank() -> int:
    """0 for the process that writes the outputs and the MLflow run, also where there is only one."""
    return next((int(os.environ[name]) for name in RANKS if name in os.environ), 0)


def is_main() -> bool:
    return rank() == 0
