"""Evaluate one model on patients it did not learn from: reports/evaluate/<key>/.

params.py  how many draws, and the coverage of the intervals
judge.py   predictions -> metrics, intervals, bootstrap draws
stage.py   reads, predicts, writes predictions.parquet, metrics.json and draws.parquet
"""

from __future__ import annotations

from ..shared.core.job import Job, Result
from .params import Params

__all__ = ["Params", "run"]


def run(params: Params, job: Job) -> Result:
    """Predict, measure, and leave the bootstrap draws. Draws no pictures: compare does."""
    from . import stage

    return stage.run(params, job)
