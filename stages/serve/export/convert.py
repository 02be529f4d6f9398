"""A module of torch -> one ONNX file."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from ...shared.core.errors import UserError
from ...shared.core.files import atomic

if TYPE_CHECKING:
    import onnx

OPSET = 20


def convert(module: nn.Module, images: torch.Tensor, outputs: Sequence[str], path: Path, name: str) -> None:
    """Writes it with a batch of any size. `images`: two of them, uint8 2×H×W×C: torch takes a batch of one for a
    constant. `name`: of the network, in messages.

    Raises:
        UserError: torch cannot write this network as a graph.
    """
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # about torch's own code
            program = torch.onnx.export(
                module.eval(), (images,), dynamo=True, opset_version=OPSET, input_names=["images"],
                output_names=list(outputs), dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=False,
                verbose=False,
            )  # fmt: skip
    except (torch.onnx.OnnxExporterError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{name}: torch cannot write this network as an ONNX graph ({type(error).__name__}: {reason}). Export "
            "another model of the leaderboard; `mlflow models serve` runs this one with torch."
        ) from error
    assert program is not None
    proto = program.model_proto
    anonymise(proto)
    with atomic(path) as partial:
        partial.write_bytes(proto.SerializeToString())


def anonymise(proto: onnx.ModelProto) -> None:
    """Takes out what torch notes of the source of each node: paths of this machine."""
    del proto.metadata_props[:]
    for graph in (proto.graph, *proto.functions):
        del graph.metadata_props[:]
        graph.doc_string = ""
        for part in (*graph.node, *graph.value_info):
            del part.metadata_props[:]
            part.doc_string = ""
    for part in (*proto.graph.initializer, *proto.graph.input, *proto.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
