"""`python -m stages export`."""

from __future__ import annotations

import argparse
from typing import Any

from ...usage import description


def add_commands(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="Write a trained model for servers, as models/onnx/<key>, and certify that it answers alike.",
        description=description(
            "Write a trained model as one ONNX file that needs no torch, with its decision rule, and certify on test "
            "images that it answers as the trained model does. docs/export.md explains it.",
            reads="models/<key>/, reports/evaluate/<key>/, data/",
            writes="models/onnx/<key>/",
            example="python -m stages export small_cnn-fine_tune-full",
            codes="0 written and certified; 1 failed, and an earlier export stays",
        ),
    )
    export.add_argument("key", nargs="?", help="a folder of models/; default: the model that validation chose")
    export.add_argument("--format", choices=("onnx", "openvino"), help="default: onnx; openvino needs an extra")
    export.add_argument("--int8", action="store_true", help="OpenVINO with 8-bit integers: smaller, often quicker")
    export.set_defaults(action=run, goes_on="python -m stages export")


def run(arguments: argparse.Namespace) -> None:
    from ...shared.core import settings
    from ...shared.core.errors import UserError
    from ...shared.exported.certificate import Precision, Runtime
    from ...shared.exported.chosen import chosen_key
    from ...study import resolve, tool_settings
    from ..params import Params
    from . import make

    if arguments.int8 and arguments.format == "onnx":
        raise UserError("--int8: written for OpenVINO alone. Leave --format out, or say --format openvino.")
    precision: Precision = "int8" if arguments.int8 else "float32"
    runtime: Runtime = "openvino" if arguments.int8 else arguments.format or "onnx"
    raw = settings.read()
    metric = resolve("compare", raw).sort_by
    make.export(arguments.key or chosen_key(), tool_settings(Params, raw, "serve"), metric, runtime, precision)
