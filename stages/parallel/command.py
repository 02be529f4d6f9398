"""`python -m stages parallel`.

Not in __init__, because a command that the server runs imports that, and has no time for pydantic."""

from __future__ import annotations

import argparse
from typing import Any

from ..shared.core.errors import UserError
from ..usage import description
from .params import Params


def add_commands(commands: Any) -> None:
    many = commands.add_parser(
        "parallel",
        help="Run the whole pipeline, several models at a time.",
        description=description(
            "Make everything that params.yaml asks for and that is not there yet, as `dvc repro` does, with several "
            "models at a time, here or on a cluster (parallel.launcher). `make run` calls this. A model that fails "
            "stops no other.",
            reads="params.yaml, dvc.yaml, and what these name",
            writes="data/, models/, reports/, dvc.lock, runs of MLflow, and a log for each model in .lightbox/logs/",
            example="python -m stages parallel --jobs 2",
            codes="0 everything is there, 1 something failed; the rest is made and compared",
        ),
    )
    many.add_argument("--jobs", type=int, help="models at a time; default: parallel.jobs of params.yaml")
    many.set_defaults(action=run)


def run(arguments: argparse.Namespace) -> None:
    """Make what params.yaml asks for, unless it is all there."""
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UserError(f"--jobs: {arguments.jobs}: give 1 or more, the number of models to train at a time.")
    from .. import checking, study
    from ..shared.core import settings
    from . import driver, dvc_lock, stamp

    if stamp.show_if_up_to_date():
        return
    dvc_lock.check()
    raw = settings.read()
    checking.members(checking.check(raw))
    own = study.tool_settings(Params, raw, "parallel")
    driver.run_study(raw, study.parse_matrix(raw), own, arguments.jobs or own.jobs)
