"""Show where one model looked: reports/explain/<key>/.

params.py   the settings
stage.py    reads, chooses, computes, writes
cases/      which test images are shown, and the pictures of each
methods/    ways to ask a model where it looked
checks/     whether the maps are worth anything
"""

from __future__ import annotations

from ..shared.core.job import Job, Result
from .params import Params

__all__ = ["Params", "run"]


def run(params: Params, job: Job) -> Result:
    """Choose test images, compute their heat maps, draw the gallery, check the maps."""
    from . import stage

    return stage.run(params, job)
