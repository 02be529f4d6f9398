"""small_cnn: four convolution blocks with BatchNorm and CBAM-style attention, about 480,000 parameters.

Small enough to train on two CPU cores in seconds, deep enough that transfer shows. Attention after Woo et al. 2018,
"CBAM: Convolutional Block Attention Module".
"""

from __future__ import annotations

import torch
from torch import nn

from .base import Backbone, Normalisation

WIDTHS = (32, 64, 128, 288)


class ChannelAttention(nn.Module):
    """Which channels matter: B×C×H×W, each channel scaled by 0…1 from its mean and its maximum."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = channels // reduction
        self.weigh = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = self.weigh(x.mean(dim=(2, 3), keepdim=True))
        peak = self.weigh(x.amax(dim=(2, 3), keepdim=True))
        return x * torch.sigmoid(mean + peak)


class SpatialAttention(nn.Module):
    """Where it matters: B×C×H×W, each cell scaled by 0…1 from the mean and the maximum over its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        summary = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.weigh(summary))


class Block(nn.Module):
    """convolution – BatchNorm – ReLU – attention – halve: B×C×H×W -> B×C'×H/2×W/2."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.attention = nn.Sequential(ChannelAttention(channels), SpatialAttention())
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(self.attention(torch.relu(self.norm(self.conv(x)))))


class SmallCNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        # the stem halves the image at once: at 96 px nothing is lost that a film shows, and the work is a quarter
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.ModuleList(Block(a, b) for a, b in zip((16, *WIDTHS), WIDTHS, strict=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x.mean(dim=(2, 3))  # B×288


def small_cnn() -> Backbone:
    stages = {"stem": ["stem"]} | {f"block{i}": [f"blocks.{i - 1}"] for i in range(1, len(WIDTHS) + 1)}
    return Backbone(
        SmallCNN(),
        stages,
        features=WIDTHS[-1],
        normalisation=Normalisation(mean=(0.5,) * 3, std=(0.25,) * 3),
        cam=f"blocks.{len(WIDTHS) - 1}.attention",
    )
