"""An export written by hand, whose answers are known: 16×16 grey images, and

feature = mean grey level,  logit of sick = slope · (feature - 128),  logit of normal = 0.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from stages.shared.arrays.catalogue import Step
from stages.shared.core.files import sha256
from stages.shared.exported import certificate
from stages.shared.exported.certificate import Certificate
from stages.shared.exported.decision import (
    Abstention,
    Calibration,
    Conformal,
    Curve,
    Estimate,
    Point,
    Rules,
    TestedOn,
)  # fmt: skip
from stages.shared.exported.heat_maps import Checks
from stages.shared.exported.reading import Reading
from stages.shared.model.recipe import Recipe

SIDE, CLASSES = 16, ["normal", "sick"]
NOT_TESTED = Checks()
SOME = Estimate(value=0.8, low=0.7, high=0.9)


def expected(image: np.ndarray, slope: float) -> float:
    """The probability of sick."""
    return float(1 / (1 + np.exp(-slope * (image.astype(float).mean() - 128))))


def png(image: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format=kind)
    return buffer.getvalue()


def films(count: int, seed: int = 0) -> list[np.ndarray]:
    """uint8 16×16 each; their means differ."""
    rng = np.random.default_rng(seed)
    return [
        np.clip(rng.normal(level, 20, (SIDE, SIDE)), 0, 255).astype(np.uint8) for level in np.linspace(90, 165, count)
    ]


def write(
    folder: Path, slope: float = 0.05, key: str = "planted-by-hand", maps: bool = True, checks: Checks = NOT_TESTED,
    steps: Sequence[Step] = (),
) -> Path:  # fmt: skip
    """models/onnx/<key>, certified; the threshold is 0.5, sets keep classes of 0.3 or more, abstains below 0.6."""
    folder.mkdir(parents=True)
    onnx.save(network(slope, maps), folder / "model.onnx")
    digest = sha256(folder / "model.onnx")
    recipe = {
        "key": key, "architecture": {"source": "lightbox", "name": "small_cnn"}, "classes": CLASSES, "size": [SIDE, SIDE],
        "preprocess": {"mode": "grey", "size": SIDE, "steps": list(steps)}, "params": {}, "data": "planted", "best_epoch": 0,
        "weights_sha256": "0" * 64, "onnx_sha256": digest,
    }  # fmt: skip
    Recipe.model_validate(recipe).write(folder)
    curves = {"sick": Curve(positives=1, negatives=1, threshold=[0.5], sensitivity=[0.8], specificity=[0.8])}
    point = Point(
        threshold=0.5, calibrated=0.5, rule="youden", fallback=None, prevalence=0.5, validation={},
        test={"sensitivity": SOME, "specificity": SOME},
    )  # fmt: skip
    Rules(
        classes=CLASSES, points={"sick": point}, reading=Reading(), heat_maps=checks,
        calibration=Calibration(method="none", parameters={}, images=10, ece=SOME),
        conformal=Conformal(score="lac", coverage=0.9, limits=[0.7, 0.7], measured=SOME),
        abstention=Abstention(share=0.1, limit=0.6, left=SOME),
        tested_on=TestedOn(
            patients=10, images=10, positives=5, metric="auroc", label="AUROC", estimate=SOME, metrics={}, confidence=0.95
        ),
        curves={"validation": curves, "test": curves},
    ).write(folder)  # fmt: skip
    certify(folder, key)
    return folder


def certify(folder: Path, key: str = "planted-by-hand") -> None:
    """All files that lie there now."""
    files = {path.name: sha256(path) for path in folder.iterdir() if path.name != certificate.FILE}
    Certificate(
        key=key, runtime="onnx", precision="float32", weights_sha256="0" * 64, onnx_sha256=files["model.onnx"],
        images=10, files=files, batches=(1, 2, 5), largest_difference=1e-6, differences={}, probabilities_spread=0.9,
        tolerance=1e-4, versions={}, made_at="2026-01-01T00:00:00+00:00",
    ).write(folder)  # fmt: skip


def network(slope: float, maps: bool) -> onnx.ModelProto:
    def weights(name: str, values: list[float], *shape: int) -> onnx.TensorProto:
        return helper.make_tensor(name, TensorProto.FLOAT, shape, values)

    nodes = [
        helper.make_node("Cast", ["images"], ["grey"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["grey"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["channels"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["cells", "per_cell", "offset"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["cells"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "per_feature", "offset"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    shapes = {"logits": 2, "probabilities": 2, "features": 1}
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n]) for name, n in shapes.items()]
    if maps:
        outputs.append(helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["batch", 2, 4, 4]))
    graph = helper.make_graph(
        nodes, "planted", [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", SIDE, SIDE, 1])], outputs,
        [
            weights("per_cell", [0, slope], 2, 1, 1, 1), weights("per_feature", [0, slope], 1, 2),
            weights("offset", [0, -128 * slope], 2),
        ],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
