"""Every backbone that params.yaml declares, as an ONNX file: does it answer as torch does?

    python benchmarks/export.py                       all of them; one takes up to a minute, vit_base some gigabytes
    python benchmarks/export.py resnet18 densenet121  these

No weights are downloaded: they are random, BatchNorm's statistics come from noise, and the head is scaled so that
probabilities vary. Images are noise in the size that the published weights were made for; batches of 1, 2 and 5.

Columns: seconds to write the file and its megabytes; the largest difference of a probability; the spread of the
probabilities, without which agreement would show nothing; whether the file gives class activation maps.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from stages import study
from stages.serve.export import certify, graph
from stages.serve.export.convert import convert
from stages.shared.core import settings
from stages.shared.exported.certificate import BATCHES, ONNX, TOLERANCE
from stages.shared.exported.session import open_session
from stages.shared.measures.calibration import Calibration
from stages.shared.model.model import Model
from stages.shared.model.predict import as_tensor
from stages.shared.model.recipe import Architecture
from stages.shared.tasks.models import create

NONE = Calibration("none", {}, 0)
CLASSES = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    raw = settings.read()
    parser.add_argument("backbone", nargs="*", default=list(raw["backbones"]), help="names in params.yaml")
    print(f"{'backbone':24}{'size':>6}{'seconds':>9}{'MB':>8}{'difference':>12}{'spread':>8}  maps")
    for name in parser.parse_args().backbone:
        declared = study.entry("backbones", name, raw)
        fields = declared.model_dump(include=set(Architecture.model_fields) & set(type(declared).model_fields))
        print(f"{name:24}{row(Architecture.model_validate(fields))}", flush=True)


def row(architecture: Architecture) -> str:
    torch.manual_seed(0)
    model = create("classification", architecture, CLASSES)
    size = model.backbone.input_size
    images = np.random.default_rng(0).integers(0, 256, (10, *size, 1), dtype=np.uint8)
    settle(model, images)
    reference = certify.trained(model, NONE, images)
    with tempfile.TemporaryDirectory() as folder:
        path, start = Path(folder) / ONNX, time.perf_counter()
        served = graph.Served(model, NONE, CLASSES, graph.pooled(model, images[:2]))
        convert(served, torch.from_numpy(images[:2]), served.outputs, path, architecture.name)
        seconds, mb = time.perf_counter() - start, path.stat().st_size / 1e6
        gap = certify.differences(reference, open_session(path.parent, "onnx"), images, BATCHES)["probabilities"]
    spread = certify.spread(reference.probabilities)
    maps = "maps" if served.pooled else "-"
    verdict = "" if gap <= TOLERANCE else "  MISSED"
    return f"{size[0]:6}{seconds:9.1f}{mb:8.1f}{gap:12.1e}{spread:8.2f}  {maps}{verdict}"


@torch.no_grad()
def settle(model: Model, images: np.ndarray) -> None:
    """Statistics of BatchNorm from these images, as a training would leave them; and a head whose logits vary."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None  # the mean over all batches
        norm.reset_running_stats()
    model.train()
    for part in np.split(images, 2):
        model(as_tensor(part))
    model.eval()
    logits = model(as_tensor(images))
    last = [module for module in model.head.modules() if isinstance(module, nn.Linear)][-1]
    last.weight /= logits.std(dim=0).clamp(min=1e-6)[:, None]
    last.bias.copy_(-model(as_tensor(images)).mean(dim=0) + last.bias)


if __name__ == "__main__":
    main()
