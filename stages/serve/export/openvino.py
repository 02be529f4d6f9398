"""ONNX -> OpenVINO, in float32 or with 8-bit integers. An extra: requirements-openvino.txt."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ...shared.core.errors import UserError
from ...shared.exported.certificate import ONNX, Preset
from ...shared.exported.session import OPENVINO, OpenVino, Session

WEIGHTED = ("Convolution", "GroupConvolution", "MatMul")
CHEAP = ("Add", "Concat", "Divide", "Multiply", "ReduceMax", "ReduceMean", "ReduceSum", "Sigmoid", "Subtract")
SIGMOIDS = ("HSigmoid", "HardSigmoid", "Sigmoid")
MEANS = ("ReduceMax", "ReduceMean", "ReduceSum")


def write(folder: Path) -> None:
    """model.xml and model.bin beside model.onnx, in float32. Raises UserError: OpenVINO is not installed."""
    openvino = library("openvino")
    openvino.save_model(openvino.convert_model(folder / ONNX), folder / OPENVINO, compress_to_fp16=False)


def write_int8(
    folder: Path, images: np.ndarray, transformer: bool, difference: Callable[[Session], float]
) -> Mapping[Preset, float]:
    """model.xml and model.bin beside model.onnx, in 8-bit integers, by the preset that loses least; returns the
    difference of each.

    `images`: of training, uint8 n×H×W×C; they choose the ranges of the integers. `transformer`: whether the network has
    attention between tokens. `difference`: largest one of a probability from the trained model's.

    Raises:
        UserError: OpenVINO or NNCF is not installed.
    """
    openvino = library("openvino")
    models, differences = dict[Preset, Any](), dict[Preset, float]()
    presets: tuple[Preset, ...] = ("all operations", "convolutions alone")
    for preset in presets:
        model = openvino.convert_model(folder / ONNX)
        models[preset] = quantised(model, images, transformer, preset)
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / OPENVINO
            openvino.save_model(models[preset], path, compress_to_fp16=False)
            differences[preset] = difference(OpenVino(path))
    best = min(presets, key=differences.__getitem__)
    openvino.save_model(models[best], folder / OPENVINO, compress_to_fp16=False)
    return differences


def quantised(model: Any, images: np.ndarray, transformer: bool, preset: Preset) -> Any:
    """Ranges from the smallest to the largest value that was seen, and the bias corrected layer by layer: NNCF's
    quicker defaults cut off the largest values, and move the probabilities of small networks several times as far."""
    nncf, ranges = library("nncf"), library("nncf.quantization.range_estimator")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    spared = None
    if preset == "convolutions alone":
        names = [*gates(model), *heads(model)]
        spared = nncf.IgnoredScope(names=names, types=list(CHEAP), validate=False)
    with redirect_stdout(sys.stderr):
        return nncf.quantize(
            model, nncf.Dataset([images[i : i + 1] for i in range(len(images))]), subset_size=len(images),
            model_type=nncf.ModelType.TRANSFORMER if transformer else None, ignored_scope=spared,
            fast_bias_correction=False,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=ranges.RangeEstimatorParametersSet.MINMAX
            ),
        )  # fmt: skip


def gates(model: Any) -> list[str]:
    """Names of convolutions that only weigh channels or places: between a mean or maximum and a sigmoid, as in
    squeeze-and-excitation and CBAM. What they give multiplies all that follows, and they cost next to nothing."""
    names = set[str]()
    for operation in model.get_ops():
        if operation.get_type_name() in SIGMOIDS:
            before = upstream(operation, MEANS)
            if all(own.get_type_name() != "Parameter" for own in before.values()):
                names |= {name for name, own in before.items() if own.get_type_name() in WEIGHTED}
    return sorted(names)


def heads(model: Any) -> list[str]:
    """Names of the last layers: those that give the logits and the maps."""
    names = set[str]()
    for output, result in zip(model.outputs, model.get_results(), strict=True):
        if output.any_name in ("logits", "maps"):
            before = upstream(result, (*WEIGHTED, *MEANS))
            edges = [source for own in before.values() for source in sources(own)]
            names |= {own.get_friendly_name() for own in edges if own.get_type_name() in WEIGHTED}
    return sorted(names)


def upstream(operation: Any, ends: Collection[str]) -> dict[str, Any]:
    """The operation and those before it, by name; not beyond operations of the types `ends`, which are left out."""
    found, waiting = dict[str, Any](), [operation]
    while waiting:
        own = waiting.pop()
        if own.get_friendly_name() not in found and own.get_type_name() not in ends:
            found[own.get_friendly_name()] = own
            waiting += sources(own)
    return found


def sources(operation: Any) -> list[Any]:
    return [own.get_source_output().get_node() for own in operation.inputs()]


def library(name: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(
            f"export: {name} is not installed. Run `pip install -r requirements-openvino.txt`, or export without "
            "--format and --int8."
        ) from None
