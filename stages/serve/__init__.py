"""From a trained model to answers for people: `export`, `serve`, `app`. A tool above the stages (tools.py).

params.py   the section `serve` of params.yaml
export/     models/<key> -> models/onnx/<key>: one ONNX file, its decision rule, its certificate
app/        a page in the browser on which a model reads images
"""

from __future__ import annotations

from typing import Any

from .app import command as app
from .export import command as export
from .params import Params

__all__ = ["Params", "add_commands"]


def add_commands(commands: Any) -> None:
    export.add_commands(commands)
    app.add_commands(commands)
