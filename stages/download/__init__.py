"""download: one of three sources -> data/raw.zip, the archive that every later stage reads."""

from __future__ import annotations

from ..shared.job import Job, Result
from .params import Params

__all__ = ["Params", "run"]


def run(params: Params, job: Job) -> Result:
    """Write data/raw.zip; it is whole or not there.

    Raises:
        UserError: the source is missing, unreadable, unsafe or holds no image, or the disk is full.
    """
    from ..shared.archive import write_archive
    from ..shared.paths import RAW

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
