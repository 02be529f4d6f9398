"""From a trained model to answers for people: `export`, `serve`, `app`. A tool above the stages (tools.py).

params.py   the section `serve` of params.yaml
export/     models/<key> -> models/onnx/<key>: one ONNX file, its decision rule, its certificate
service.py  one export that answers: bytes in, what is said about them out
size.py     how large an image is, before it is decoded
port.py     the port that a server listens on
heat.py     what speaks for a class, laid over an image
http/       the service behind HTTP; follows the registry
app/        a page in the browser on which a model reads images
"""

from __future__ import annotations

from typing import Any

from .app import command as app
from .export import command as export
from .http import command as http
from .params import Params

__all__ = ["Params", "add_commands"]


def add_commands(commands: Any) -> None:
    export.add_commands(commands)
    http.add_commands(commands)
    app.add_commands(commands)
