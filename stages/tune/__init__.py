"""`python -m stages tune [key]`: search for better settings of one model, judged on validation folds.

params.py        the settings
command.py       the whole search, step by step
space.py         which settings, between which values: checked before any work; what a trial would write
trainings.py     one training on one fold: its value; none is trained twice
search.py        Optuna's studies: the search and a random search with the same budget, resumable
verdict.py       the best of both and the settings as they are, trained with other seeds: did the search help?
report.py        tables and figures: reports/tune/<key>/
"""

from __future__ import annotations

import argparse
from typing import Any

from ..usage import description
from .params import Params

__all__ = ["Params", "add_commands"]


def add_commands(commands: Any) -> None:
    tune = commands.add_parser(
        "tune",
        help="Search for better settings of one model, on validation folds.",
        description=description(
            "Search for better settings of one model of the matrix, by Optuna and beside it by a random search with "
            "the same budget. The best of both and the present settings are trained again with seeds that chose "
            "nothing; the best of these is written into params.yaml. No test image is read. A search that was "
            "interrupted goes on. docs/tuning.md explains it.",
            reads="params.yaml (section tune), data/processed, models/pretrained",
            writes="reports/tune/<key>/, params.yaml (comments stay; not with --keep), .lightbox/tune/ (the journal), "
            "runs of MLflow",
            example="python -m stages tune small_cnn-fine_tune-full",
        ),
    )
    tune.add_argument("key", nargs="?", help="a model of the matrix; default: tune.target of params.yaml")
    tune.add_argument("--keep", action="store_true", help="leave params.yaml as it is")
    tune.set_defaults(action=run, goes_on="python -m stages tune")


def run(arguments: argparse.Namespace) -> None:
    from . import command

    command.run(arguments.key, arguments.keep)
