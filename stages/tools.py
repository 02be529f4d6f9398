"""The commands above the stages: what one does with the results, or how the study runs. No stage of DVC.

A tool is a package (or its module command.py) with three doors: `Params`, its section of params.yaml;
`add_commands(commands)`, which declares its commands to argparse, each with `action=<function of the arguments>` and,
where not `dvc repro` but another command goes on after an interruption, `goes_on`; and a docstring that is its plan.
Heavy libraries are imported inside the actions, so that `python -m stages --help` stays quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from . import drift, registry, retrain, serve, study, tune
from .parallel import command as parallel

TOOLS: dict[str, ModuleType] = {  # in the order of the help
    "parallel": parallel,
    "serve": serve,
    "registry": registry,
    "tune": tune,
    "drift": drift,
    "retrain": retrain,
}


def add_commands(commands: Any) -> None:
    """commands: what argparse's `add_subparsers` returned."""
    for tool in TOOLS.values():
        tool.add_commands(commands)


def check(raw: Mapping[str, Any]) -> None:
    """Raises UserError when a tool's section of params.yaml is wrong."""
    for name, tool in TOOLS.items():
        study.tool_settings(tool.Params, raw, name)
