"""The stage: the source that params.yaml names -> data/raw.zip."""

from __future__ import annotations

from ..shared.core.job import Job, Result
from ..shared.core.paths import RAW
from .params import Params


def run(params: Params, job: Job) -> Result:
    return Result(metrics={**pack(params), "bytes": RAW.stat().st_size})


def pack(params: Params) -> dict[str, float]:
    """Write data/raw.zip; returns how many images, patients and other files the source has, as far as it knows."""
    if params.source == "phantom":
        from .phantom import members

        return members.pack(params.phantom)
    if params.source == "folder":
        from . import folder

        return folder.pack(params.folder)
    from . import kaggle

    return kaggle.pack(params.kaggle)
