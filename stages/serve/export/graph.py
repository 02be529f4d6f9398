"""A classifier with all that belongs to its answer, as one module: normalisation, network, calibration.

Shapes: B images, H×W pixels, C channels (1 or 3), F features, K classes, h×w cells; M classes calibrated on their own
(shared/measures/calibration.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...shared.measures.calibration import Calibration, positives
from ...shared.model.backbones.base import MapLayer
from ...shared.model.model import Model


class Served(nn.Module):
    """uint8 B×H×W×C -> logits B×K, probabilities B×K, features B×F, and maps B×K×h×w where `pooled` is given."""

    def __init__(self, model: Model, calibration: Calibration, classes: int, pooled: Pooled | None) -> None:
        super().__init__()
        self.model = model
        self.calibrate = CALIBRATED[calibration.method](calibration, classes)
        self.pooled = pooled

    @property
    def outputs(self) -> list[str]:
        return ["logits", "probabilities", "features", *(["maps"] if self.pooled else [])]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = self.model.normalise(images.permute(0, 3, 1, 2))
        if self.pooled is None:
            (features,) = self.model.encode(x)
            logits = self.model.decode((features,), (x.shape[2], x.shape[3]))
            return logits, self.calibrate(logits), features
        with self.model.backbone.outputs_of([self.pooled.layer.module]) as outputs:
            (features,) = self.model.encode(x)
        logits = self.model.decode((features,), (x.shape[2], x.shape[3]))
        return logits, self.calibrate(logits), features, self.pooled.maps(outputs[self.pooled.layer.module])


@dataclass(frozen=True)
class Pooled:
    """The map of which the features are the mean over the cells, and the linear layer behind it: class activation maps
    (Zhou et al. 2016). `rectified`: the network takes a ReLU before the mean."""

    layer: MapLayer
    rectified: bool
    linear: nn.Linear

    def maps(self, output: Tensor) -> Tensor:
        """B×K×h×w, whose mean over the cells is the logit; from the layer's output."""
        cells = self.layer.as_map(output)
        cells = cells.relu() if self.rectified else cells
        return F.conv2d(cells, self.linear.weight[:, :, None, None], self.linear.bias)


@torch.no_grad()
def pooled(model: Model, images: np.ndarray) -> Pooled | None:
    """None: the head is not linear, or what it reads is no mean over cells. Tried on `images`, uint8 B×H×W×C."""
    layers = [layer for layer in model.head.children() if not isinstance(layer, nn.Dropout)]
    if len(layers) != 1 or not isinstance(layers[0], nn.Linear) or not model.backbone.map_layers:
        return None
    layer = list(model.backbone.map_layers.values())[-1]
    x = model.normalise(torch.from_numpy(images).permute(0, 3, 1, 2))
    with model.backbone.outputs_of([layer.module]) as outputs:
        (features,) = model.encode(x)
    cells = layer.as_map(outputs[layer.module])
    for rectified in (False, True):
        means = (cells.relu() if rectified else cells).mean(dim=(2, 3))
        if means.shape == features.shape and torch.allclose(means, features, rtol=1e-4, atol=1e-5):
            return Pooled(layer, rectified, layers[0])
    return None


def odds(logits: Tensor, classes: int) -> Tensor:
    """B×M log-odds."""
    rows = []
    for k in positives(np.zeros((1, classes))):
        others = torch.cat([logits[:, :k], logits[:, k + 1 :]], dim=1)
        rows.append(logits[:, k] - others.logsumexp(dim=1))
    return torch.stack(rows, dim=1)


def whole(single: Tensor) -> Tensor:
    """B×M probabilities of single classes -> B×K that sum to 1; where all are 0, all classes are equally likely."""
    if single.shape[1] == 1:
        return torch.cat([1 - single, single], dim=1)
    total = single.sum(dim=1, keepdim=True)
    return torch.where(total > 0, single / total.clamp(min=1e-30), 1 / single.shape[1])


class Temperature(nn.Module):
    def __init__(self, calibration: Calibration, classes: int) -> None:
        super().__init__()
        self.temperature = float(calibration.parameters.get("temperature", 1.0))

    def forward(self, logits: Tensor) -> Tensor:
        return (logits / self.temperature).softmax(dim=1)


class Platt(nn.Module):
    slope: Tensor
    intercept: Tensor

    def __init__(self, calibration: Calibration, classes: int) -> None:
        super().__init__()
        self.classes = classes
        for name in ("slope", "intercept"):
            self.register_buffer(name, torch.tensor(calibration.parameters[name], dtype=torch.float32))

    def forward(self, logits: Tensor) -> Tensor:
        return whole((odds(logits, self.classes) * self.slope + self.intercept).sigmoid())


class Isotonic(nn.Module):
    """Lines between corners: the sum of what each segment has risen by then."""

    def __init__(self, calibration: Calibration, classes: int) -> None:
        super().__init__()
        self.classes, self.lines = classes, len(calibration.parameters["from"])
        corners = zip(calibration.parameters["from"], calibration.parameters["to"], strict=True)
        for m, (x, y) in enumerate(corners):
            ends = np.asarray(x, np.float64), np.asarray(y, np.float64)
            widths, rises = (np.diff(values) for values in ends)
            for name, values in (("start", ends[0][:-1]), ("width", widths), ("rise", rises), ("first", ends[1][:1])):
                self.register_buffer(f"{name}_{m}", torch.tensor(values, dtype=torch.float32))

    def forward(self, logits: Tensor) -> Tensor:
        own = odds(logits, self.classes)
        return whole(torch.stack([self.line(own[:, m], m) for m in range(self.lines)], dim=1))

    def line(self, x: Tensor, m: int) -> Tensor:
        start, width, rise, first = (getattr(self, f"{name}_{m}") for name in ("start", "width", "rise", "first"))
        share = ((x[:, None] - start) / width).clamp(0, 1)  # of each segment that lies below x
        y: Tensor = (share * rise).sum(dim=1) + first
        return y


CALIBRATED = {"temperature": Temperature, "none": Temperature, "platt": Platt, "isotonic": Isotonic}
"""By method: nothing is a temperature of 1."""
