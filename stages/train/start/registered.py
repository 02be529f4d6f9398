"""A model of the MLflow registry as the start of a training. MLflow is asked in a process of its own, as everywhere
(see shared.tracking), so a training neither imports it nor changes with it.

An alias can move, and DVC, which watches files and params, does not notice: the recipe keeps the version it stood for.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...shared.core.errors import UserError


@dataclass(frozen=True)
class Registered:
    """version: models:/name/number. path: its weights.safetensors, on this machine."""

    version: str
    path: Path


@cache
def fetch(uri: str) -> Registered:
    """Within a process an alias stands for one version.

    Raises:
        UserError: no such model, alias or version; no model of this project; the registry is out of reach.
    """
    command = [sys.executable, "-m", "stages.shared.tracking.registry", uri]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stdout.strip().rpartition("\n")[2]
    try:
        answer = json.loads(last)
    except ValueError:
        told = done.stderr.strip()[-2000:]
        raise UserError(f"{uri}: asking MLflow ended with code {done.returncode} and no answer. {told}") from None
    if "error" in answer:
        raise UserError(answer["error"])
    print(f"{uri}: {answer['version']}", file=sys.stderr)
    return Registered(answer["version"], Path(answer["path"]))
