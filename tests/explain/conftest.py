"""Networks that read one known place of an image, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from stages.shared.model.backbones.base import Backbone, MapLayer, Normalisation
from stages.shared.model.model import Classifier

CELL = 8  # pixels


class Reader(nn.Module):
    """Its one feature is how bright the cells are that it weighs. B×3×H×W -> B×1."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.cells, self.bright = nn.AvgPool2d(CELL), nn.ReLU()
        self.weights, self.read = nn.Parameter(weights), nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weighted: torch.Tensor = self.read(self.bright(self.cells(x)[:, :1]) * self.weights)
        return weighted.sum(dim=(2, 3))


def reader(weights: torch.Tensor, strength: float = 4.0) -> Classifier:
    """A classifier of two classes, the second where the weighted cells (h×w) are bright: 0.5 where they are grey."""
    backbone = Backbone(
        Reader(weights.float()), {"block": ["weights"]}, 1, Normalisation((0.5,) * 3, (0.25,) * 3),
        cam=MapLayer("read", 1, CELL),
    )  # fmt: skip
    model = Classifier(backbone, nn.Linear(1, 2))
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[-strength], [strength]]))
        model.head.bias.copy_(torch.tensor([strength / 2, -strength / 2]))
    return model.eval()


@pytest.fixture
def make_reader() -> Callable[..., Classifier]:
    return reader
