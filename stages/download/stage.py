"""The stage: the source that params.yaml names -> data/raw.zip."""

from __future__ import annotations

from ..shared.core.job import Job, Result
from ..shared.core.paths import RAW
from .params import Params


def run(params: Params, job: Job) -> Result:
    """The metrics are how many images, patients, tables and other files the source has, as far as it knows, and the
    bytes."""
    if params.source == "phantom":
        from .phantom import members

        counts = members.pack(params.phantom)
    else:
        counts = _pack(params)
    return Result(metrics={**counts, "bytes": RAW.stat().st_size})


def _pack(params: Params) -> dict[str, float]:
    from . import privacy
    from .entries import Rules

    hides = params.privacy == "pseudonymise"
    pseudonyms = privacy.pseudonyms(params.pseudonyms.names or "") if hides else None
    rules = Rules(pseudonyms, frozenset(params.pseudonyms.columns), params.frames)
    if params.source == "folder":
        from . import folder

        return folder.pack(params.folder, rules)
    from . import kaggle

    return kaggle.pack(params.kaggle, rules)
