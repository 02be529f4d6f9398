"""A model: normalise, backbone, head."""

from __future__ import annotations

import torch
from torch import nn

from .backbones.base import Backbone

# Shapes: B batch, C channels (1 or 3), H×W pixels, K outputs


class Classifier(nn.Module):
    """uint8 images B×C×H×W -> the head's outputs, B×K for a classification. A grey image goes in as three equal
    channels."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        for name in ("mean", "std"):
            values = torch.tensor(getattr(backbone.normalisation, name)).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 B×C×H×W -> float B×3×H×W as the weights expect it."""
        return (images.expand(-1, 3, -1, -1) / 255 - self.mean) / self.std

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.head(self.backbone(self.normalise(images)))
        return outputs
