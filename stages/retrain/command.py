"""`python -m stages retrain`. Exit codes: 0 promoted, passed or nothing to do; 3 rejected; 4 undecided; 1 failed."""

from __future__ import annotations

import argparse
from typing import Any

from ..shared.core.errors import UserError
from ..shared.core.settings import read
from ..study import tool_settings
from ..usage import description
from .params import Params


def add_commands(commands: Any) -> None:
    retrain = commands.add_parser(
        "retrain",
        help="Pull, run the study, judge the new model, promote it if asked.",
        description=description(
            "A whole round: pull from DVC's remote, run the study, export the model that validation chose, look for "
            "drift, ask the gate, push, and promote if asked. The same at home, from cron and in CI. "
            "docs/retraining.md explains it.",
            reads="params.yaml, the DVC remote, the registry",
            writes="what `make run`, export, drift, gate and promote write, the DVC remote, reports/retrain/summary.md",
            example="python -m stages retrain --promote",
            codes="0 promoted, passed or nothing to do; 3 rejected; 4 undecided; 1 failed",
        ),
    )
    retrain.add_argument("--promote", action="store_true", help="put a model in use that passes (retrain.promote)")
    retrain.add_argument("--jobs", type=int, help="models at a time; default: parallel.jobs of params.yaml")
    retrain.set_defaults(action=run, goes_on="python -m stages retrain")


def unfinished() -> bool:
    """Whether a change of the champion was begun and has not been read back."""
    from ..registry import log
    from ..registry.params import Params as RegistryParams

    try:
        return bool(log.unfinished(log.read(tool_settings(RegistryParams, read(), "registry").name)))
    except UserError:  # params.yaml or the log is damaged: the reason of the failure itself
        return False


def run(arguments: argparse.Namespace) -> int:
    """A round, and its summary, also where it failed."""
    from . import loop, summary

    params = tool_settings(Params, read(), "retrain")
    try:
        made = loop.go(params, arguments.jobs, arguments.promote or params.promote)
    except Exception as error:
        summary.write(summary.of_failure(loop.in_public(error), unfinished()))
        raise
    summary.write(summary.of_round(made), summary.pictures(made))
    print(f"{summary.headline(made)} Summary: {summary.FILE}")
    return made.exit_code
