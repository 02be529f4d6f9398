"""Evaluate one model on patients it did not learn from: models/<key> + data/processed -> reports/evaluate/<key>/."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..shared.job import Job, Result
from ..shared.settings import Settings

__all__ = ["Params", "run"]


class Params(Settings):
    """The `evaluate` section."""

    bootstrap: Annotated[int, Field(ge=100)] = 1000
    """Resamples of the test patients behind each interval."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Coverage of the intervals."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the resampling."""


def run(params: Params, job: Job) -> Result:
    """Predict, measure with intervals, draw."""
    from .report import evaluate

    return evaluate(params, job)
