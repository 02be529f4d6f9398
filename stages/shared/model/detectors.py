"""Models that say how anomalous an image is. Both kinds give B×K×h×w:

    channel 0  its mean over the cells is the image's score
    channel 1  the anomaly of each cell
    2:5, 5:8   of an autoencoder: the reconstruction, and the image, both of 0…1

Shapes: B images, h×w cells, H×W pixels
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from .backbones.base import Backbone, MapLayer
from .memories.memory import Memory, last_layer
from .model import Model

GRID = 4  # cells each way that the bottleneck reads and writes
SMOOTHING = 4  # pixels, the standard deviation of the blur of a map, as PatchCore and PaDiM have it


def scores(outputs: torch.Tensor) -> torch.Tensor:
    """B."""
    return outputs[:, 0].mean(dim=(1, 2))


def maps(outputs: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """B×H×W of that size: the anomaly of each pixel, smoothed."""
    full = F.interpolate(outputs[:, 1:2].float(), size, mode="bilinear")
    reach = 3 * SMOOTHING
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=full.device) / SMOOTHING) ** 2)
    weights = (weights / weights.sum())[None, None]
    padded = F.pad(full, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, weights[..., None]), weights[:, :, None])[:, 0]


def reconstructions(outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """(the reconstruction, the image), B×3×H×W of 0…1; None: not of an autoencoder."""
    return (outputs[:, 2:5], outputs[:, 5:8]) if outputs.shape[1] == 8 else None


class Bottleneck(nn.Module):
    """From the last map, through `latent` numbers, back to an image: what they do not hold cannot be drawn."""

    def __init__(self, features: int, latent: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.squeeze = nn.Linear(features * GRID**2, latent)
        self.unfold = nn.Linear(latent, channels[0] * GRID**2)
        widths = [channels[0], *channels]
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise(widths)
        )
        self.draw = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def forward(self, last: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """B×C×h×w -> B×3×H×W of that size."""
        x = self.unfold(self.squeeze(F.adaptive_avg_pool2d(last, GRID).flatten(1)))
        x = x.view(len(x), -1, GRID, GRID)
        for left, step in zip(range(len(self.steps) - 1, -1, -1), self.steps, strict=True):
            cells = [max(math.ceil(side / 2**left), 1) for side in size]
            x = step(F.interpolate(x, cells, mode="bilinear"))
        image: torch.Tensor = self.draw(x)
        return image


class Autoencoder(Model):
    """Its head draws the image again from a few numbers. The anomaly of a pixel is the squared error there, the mean
    over the colours."""

    def __init__(self, backbone: Backbone, latent: int, channels: Sequence[int]) -> None:
        layer = last_layer(backbone)
        super().__init__(backbone, Bottleneck(layer.channels, latent, channels))
        self.layer = layer

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (*self.backbone.maps_of([self.layer], x), x * self.std + self.mean)

    def decode(self, encoded: tuple[torch.Tensor, ...], size: tuple[int, int]) -> torch.Tensor:
        last, image = encoded
        drawn = self.head(last, size).to(image)
        error = (drawn - image).square().mean(dim=1, keepdim=True)
        return torch.cat([error, error, drawn, image], dim=1)


class Comparison(Model):
    """Its head compares maps of the backbone with those that it remembers."""

    def __init__(self, backbone: Backbone, memory: Memory, layers: Sequence[MapLayer]) -> None:
        super().__init__(backbone, memory)
        self.layers = list(layers)

    @property
    def encoding(self) -> str:
        return " ".join(["maps of", *(layer.module for layer in self.layers)])

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.backbone.maps_of(self.layers, x))

    def decode(self, encoded: tuple[torch.Tensor, ...], size: tuple[int, int]) -> torch.Tensor:
        outputs: torch.Tensor = self.head(encoded)
        return outputs
