"""Train one member of the matrix: data/processed -> models/<key>/ and reports/train/<key>/."""

from __future__ import annotations

from ..shared.job import Job, Result
from ..shared.process import check_world
from .params import Params

__all__ = ["Params", "run"]


def run(params: Params, job: Job) -> Result:
    """Train, keep the best weights, write the history. Resumes an interrupted run from its last epoch."""
    check_world(params.trainer.world)
    from .fit import train_member

    return train_member(params, job)
