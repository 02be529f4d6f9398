"""The stage: the source that params.yaml names -> data/raw.zip."""

from __future__ import annotations

from ..shared.core.job import Job, Result
from ..shared.core.paths import RAW
from ..shared.images.archive import write_archive
from .params import Params


def run(params: Params, job: Job) -> Result:
    if params.source == "phantom":
        from .phantom import members
    elif params.source == "folder":
        from .folder import members
    else:
        from .kaggle import members

    counts: dict[str, float] = {}
    with members(getattr(params, params.source), counts) as found:
        write_archive(RAW, found)
    return Result(metrics={**counts, "bytes": RAW.stat().st_size})
