"""ONNX -> OpenVINO, in float32 or with 8-bit integers. An extra: requirements-openvino.txt."""

from __future__ import annotations

import logging
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

import numpy as np

from ...shared.core.errors import UserError
from ...shared.exported.certificate import ONNX, Precision
from ...shared.exported.session import OPENVINO


def write(folder: Path, precision: Precision, images: np.ndarray, transformer: bool) -> None:
    """model.xml and model.bin beside model.onnx. `images`: of training, uint8 n×H×W×C; they choose the ranges of the
    integers. `transformer`: whether the network has attention between tokens.

    Raises:
        UserError: OpenVINO, or NNCF for int8, is not installed.
    """
    openvino = library("openvino")
    model = openvino.convert_model(folder / ONNX)
    if precision == "int8":
        nncf = library("nncf")
        logging.getLogger("nncf").setLevel(logging.ERROR)
        with redirect_stdout(sys.stderr):
            model = nncf.quantize(
                model, nncf.Dataset([images[i : i + 1] for i in range(len(images))]), subset_size=len(images),
                model_type=nncf.ModelType.TRANSFORMER if transformer else None,
            )  # fmt: skip
    openvino.save_model(model, folder / OPENVINO, compress_to_fp16=False)


def library(name: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(
            f"export: {name} is not installed. Run `pip install -r requirements-openvino.txt`, or export without "
            "--format and --int8."
        ) from None
