"""The stage: the source that params.yaml names -> data/raw.zip."""

from __future__ import annotations

from ..shared.core.job import Job, Result
from ..shared.core.paths import RAW
from .params import Params


def run(params: Params, job: Job) -> Result:
    """The metrics are how many images, patients and other files the source has, as far as it knows, and the bytes."""
    if params.source == "phantom":
        from .phantom import members

        counts = members.pack(params.phantom)
    elif params.source == "folder":
        from . import folder

        counts = folder.pack(params.folder)
    else:
        from . import kaggle

        counts = kaggle.pack(params.kaggle)
    return Result(metrics={**counts, "bytes": RAW.stat().st_size})
