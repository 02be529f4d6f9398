"""A model: normalise, backbone, head. Tasks differ in what the head reads of the backbone, and in what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

from .backbones.base import Backbone

# Shapes: B batch, C channels (1 or 3), H×W pixels, K outputs, F features


class Model(nn.Module, ABC):
    """uint8 images B×C×H×W -> outputs, batch first. A grey image goes in as three equal channels.

    decode(encode(x), size) is the whole model: what `encode` gives can be kept where the backbone never learns.
    """

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

    @property
    def encoding(self) -> str:
        """What `encode` computes: models of one backbone that say the same give the same."""
        return type(self).__name__

    @abstractmethod
    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Normalised images B×3×H×W -> what the head reads, batch first."""

    @abstractmethod
    def decode(self, encoded: tuple[torch.Tensor, ...], size: tuple[int, int]) -> torch.Tensor:
        """What `encode` gave of images of `size` (height, width) -> outputs."""

    def of_normalised(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised images -> outputs."""
        return self.decode(self.encode(x), (x.shape[2], x.shape[3]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.of_normalised(self.normalise(images))


class Classifier(Model):
    """Its head reads the features B×F, and gives B×K."""

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.backbone(x),)

    def decode(self, encoded: tuple[torch.Tensor, ...], size: tuple[int, int]) -> torch.Tensor:
        outputs: torch.Tensor = self.head(*encoded)
        return outputs


class Segmenter(Model):
    """Its head reads the pyramid, finest map first, and gives B×K×H×W."""

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.backbone.pyramid(x))

    def decode(self, encoded: tuple[torch.Tensor, ...], size: tuple[int, int]) -> torch.Tensor:
        outputs: torch.Tensor = self.head(encoded, size)
        return outputs
