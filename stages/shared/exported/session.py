"""The exported network, run by ONNX Runtime or OpenVINO. Both can be called from several threads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from ..core.errors import UserError
from ..core.hardware import cores
from .certificate import ONNX, Runtime

OPENVINO = "model.xml"
INPUT = "images"


class Session(Protocol):
    """outputs: names. size: height, width and channels of an image."""

    outputs: list[str]
    size: tuple[int, int, int]

    def __call__(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        """uint8 B×H×W×C -> each of the outputs, batch first."""


class OnnxRuntime:
    def __init__(self, path: Path, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cores()
        options.log_severity_level = 3  # errors; a warning would name files
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self._session.get_outputs()]
        height, width, channels = self._session.get_inputs()[0].shape[1:]
        self.size = (height, width, channels)

    def __call__(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        return dict(zip(self.outputs, self._session.run(None, {INPUT: images}), strict=True))


class OpenVino:
    def __init__(self, path: Path, threads: int | None = None) -> None:
        try:
            import openvino
        except ImportError:
            raise UserError(
                f"{path}: needs OpenVINO, which is not installed. Run `pip install -r requirements-openvino.txt`, or "
                "export without --format and --int8."
            ) from None
        hints = {"INFERENCE_NUM_THREADS": threads or cores(), "PERFORMANCE_HINT": "LATENCY"}
        hints |= {"INFERENCE_PRECISION_HINT": "f32"}  # else some processors compute in bf16
        self._model = openvino.Core().compile_model(str(path), "CPU", hints)
        self.outputs = [output.any_name for output in self._model.outputs]
        height, width, channels = (side.get_length() for side in list(self._model.inputs[0].partial_shape)[1:])
        self.size = (height, width, channels)

    def __call__(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        results = self._model.create_infer_request().infer({INPUT: images})
        return {output.any_name: results[output] for output in self._model.outputs}


def open_session(folder: Path, runtime: Runtime, threads: int | None = None) -> Session:
    """`threads`: of one call; None: all cores that this process may use."""
    if runtime == "openvino":
        return OpenVino(folder / OPENVINO, threads)
    return OnnxRuntime(folder / ONNX, threads)
