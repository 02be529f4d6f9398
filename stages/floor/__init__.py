"""Predict without a network: reports/floor/. A model that is no better has shown nothing.

params.py    which floors
features.py  images -> the numbers that a linear model is given
hog.py       histograms of oriented gradients
linear.py    numbers and labels -> probabilities; regularised as the validation images say
tables.py    probabilities -> the prediction table of each task
stage.py     reads, predicts, judges as evaluate does, writes
"""

from __future__ import annotations

from ..shared.core.job import Job, Result
from .params import Params

__all__ = ["Params", "run"]


def run(params: Params, job: Job) -> Result:
    """Fit, predict and judge the floors on the study's own split. Draws no pictures: compare does."""
    from . import stage

    return stage.run(params, job)
