"""Evaluate one model on patients it did not learn from: models/<key> + data/processed -> reports/evaluate/<key>/."""

from __future__ import annotations

from ..shared.core.job import Job, Result
from .params import Params

__all__ = ["Params", "run"]


def run(params: Params, job: Job) -> Result:
    """Predict, measure with intervals, draw."""
    from . import stage

    return stage.run(params, job)
