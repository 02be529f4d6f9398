"""Train one member of the matrix: data/processed -> models/<key>/ and reports/train/<key>/.

params/     the settings
stage.py    the whole training, step by step
sample.py   which images train and which validate
batches.py  what an epoch shows: images, their order, its batches
fitting.py  in place of a loop: a memory is fitted in one pass
library.py  checks that only the libraries can make: names, tags, plans
report.py   the numbers that a training leaves beside its weights
start/      the weights a training starts from
plan/       who learns, when, how fast
recipe/     one step: optimizers, schedules, mixing, image sizes, moving average
features/   the outputs of frozen blocks, computed once
loop/       Lightning: module, trainer, checkpoints, history
machine/    device, precision, memory
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..shared.core.job import Job, Result
from .params import Params

if TYPE_CHECKING:
    import pandas as pd

    from .report import Curve

__all__ = ["Params", "check", "check_data", "curve", "run", "starting_weights"]


def run(params: Params, job: Job) -> Result:
    """Train, keep the best weights, write the history. Resumes an interrupted run from its last epoch."""
    from . import stage

    return stage.run(params, job)


def curve(params: Params, job: Job) -> Curve:
    """Train as `run` does, and leave nothing behind: for whoever compares settings by their validation scores."""
    from . import stage

    return stage.curve(params, job)


def starting_weights(params: Params) -> tuple[str, str | None] | None:
    """(name, SHA-256) of the weights that a training starts from: for whoever keeps what trainings gave. The SHA-256 is
    None where a library publishes the weights; None alone: random weights."""
    from . import stage

    own = stage.start_of(params)
    return (own.name, own.sha256) if own else None


def check(params: Params) -> None:
    """Ask the libraries about names of networks, weights and transforms, and the network about the plan.

    Raises:
        UserError: the first fault; the message begins with the field, e.g. `backbone.name: …`.
    """
    from .library import check_libraries

    check_libraries(params)


def check_data(params: Params, index: pd.DataFrame) -> None:
    """Raises UserError when the sample asks for images that are not there; the message begins with the field."""
    from .sample import sample_rows

    sample_rows(params, index, "sample")
