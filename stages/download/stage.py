"""The stage: the source that params.yaml names -> data/raw.zip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

from ..shared.core.job import Job, Result
from ..shared.core.paths import RAW
from ..shared.images.archive import write_archive
from .params import Params


def run(params: Params, job: Job) -> Result:
    counts: dict[str, float] = {}
    with members(params, counts) as images:
        write_archive(RAW, images)
    return Result(metrics={**counts, "bytes": RAW.stat().st_size})


def members(params: Params, counts: dict[str, float]) -> AbstractContextManager[Iterator[tuple[str, bytes]]]:
    """(name, bytes) of every file, from the source that params name; `counts` gets how many there were."""
    if params.source == "phantom":
        from .phantom import members as phantom

        return phantom.members(params.phantom, counts)
    if params.source == "folder":
        from . import folder

        return folder.members(params.folder, counts)
    from . import kaggle

    return kaggle.members(params.kaggle, counts)
