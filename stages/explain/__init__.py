"""Show where one model looked: reports/explain/<key>/.

params.py   the settings
stage.py    reads, chooses, computes, writes
choose.py   which test images are shown
methods/    ways to ask a model where it looked
gallery.py  one picture of all cases
"""

from __future__ import annotations

from ..shared.core.job import Job, Result
from .params import Params

__all__ = ["Params", "run"]


def run(params: Params, job: Job) -> Result:
    """Choose test images, compute their heat maps, draw the gallery."""
    from . import stage

    return stage.run(params, job)
