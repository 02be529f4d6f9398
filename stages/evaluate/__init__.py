"""Evaluate one model on patients it did not learn from: reports/evaluate/<key>/.

params.py   how many draws, and the coverage of the intervals
stage.py    reads, predicts, judges (shared/measures/judge.py), writes predictions.parquet, metrics.json, draws.parquet
images.py   what is known of the judged images beside the label
cost.py     what a prediction costs on this machine
evidence/   what a careful reader asks beyond the metrics
"""

from __future__ import annotations

from ..shared.core.job import Job, Result
from .params import Params

__all__ = ["Params", "run"]


def run(params: Params, job: Job) -> Result:
    """Predict, measure, and leave the bootstrap draws. Draws no pictures: compare does."""
    from . import stage

    return stage.run(params, job)
