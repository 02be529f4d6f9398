"""Networks of several families, written as ONNX: convolutions, attention between tokens, layers that were in place.

All declared backbones: benchmarks/export.py. Weights are random here, so what varies is asserted, too.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from stages.serve.export import certify, graph
from stages.serve.export.convert import convert
from stages.shared.exported.session import OnnxRuntime
from stages.shared.measures.calibration import Calibration
from stages.shared.model.recipe import Architecture
from stages.shared.tasks.models import create

NONE = Calibration("none", {}, 0)


@pytest.fixture
def settle(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    import export

    yield export.settle
    sys.modules.pop("export", None)


@pytest.mark.parametrize(
    ("source", "name", "hidden", "maps"),
    [
        ("timm", "test_vit", [], False),  # its features are those of a token
        ("timm", "test_resnet", [], True),
        ("timm", "test_resnet", [8], False),  # its head is not linear
    ],
)
def test_a_family_answers_alike_in_batches_of_any_size(source, name, hidden, maps, settle, tmp_path):
    torch.manual_seed(0)
    architecture = Architecture(source=source, name=name, head={"hidden": hidden, "norm": "batch"})
    model = create("classification", architecture, 2)
    images = np.random.default_rng(0).integers(0, 256, (10, *model.backbone.input_size, 3), dtype=np.uint8)
    settle(model, images)
    reference = certify.trained(model, NONE, images)
    served = graph.Served(model, NONE, 2, graph.pooled(model, images[:2]))
    assert (served.pooled is not None) == maps
    convert(served, torch.from_numpy(images[:2]), served.outputs, tmp_path / "model.onnx", name)
    session = OnnxRuntime(tmp_path / "model.onnx")
    gaps = certify.differences(reference, session, images, (1, 2, 5, 10))
    assert gaps["probabilities"] < 1e-4
    assert certify.spread(reference.probabilities) > 0.1
    assert gaps.get("maps", 0) < 1e-3
