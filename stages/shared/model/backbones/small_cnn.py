"""small_cnn: four convolution blocks with BatchNorm and CBAM-style attention, about 460,000 parameters.

Small enough to train on two CPU cores in seconds, deep enough that transfer shows. Attention after Woo et al. 2018,
"CBAM: Convolutional Block Attention Module".
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from .base import Backbone, Normalisation, stem_and_blocks
from .maps import forward_pass, map_layers

STEM, WIDTHS = 16, (32, 64, 128, 288)  # channels
SIZE = (96, 96)  # pixels


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
    """convolution – BatchNorm – ReLU – halve – attention: B×C×H×W -> B×C'×H/2×W/2, or H×W where it does not halve.

    Attention comes after halving: a quarter of the cells, and no worse for it.
    """

    def __init__(self, channels_in: int, channels: int, halve: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.pool = nn.MaxPool2d(2) if halve else nn.Identity()
        self.attention = nn.Sequential(ChannelAttention(channels), SpatialAttention())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.attention(self.pool(torch.relu(self.norm(self.conv(x)))))
        return y


class SmallCNN(nn.Module):
    """B×3×H×W -> B×288. The last map has a sixteenth of the image's side, for heat maps to be of use."""

    def __init__(self) -> None:
        super().__init__()
        # the stem halves the image at once: at 96 px nothing is lost that a film shows, and the work is a quarter
        self.stem = nn.Sequential(
            nn.Conv2d(3, STEM, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(STEM), nn.ReLU()
        )
        pairs = pairwise((STEM, *WIDTHS))
        self.blocks = nn.ModuleList(Block(a, b, halve=b != WIDTHS[-1]) for a, b in pairs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x.mean(dim=(2, 3))


def small_cnn() -> Backbone:
    network = SmallCNN()
    blocks = stem_and_blocks([["stem"], *([f"blocks.{i}"] for i in range(len(WIDTHS)))])
    layers = map_layers(forward_pass(network, SIZE), blocks)
    return Backbone(
        network,
        blocks,
        feature_count=WIDTHS[-1],
        normalisation=Normalisation(mean=(0.5,) * 3, std=(0.25,) * 3),
        map_layers=layers,
        # the last block but one has as many cells, and on phantoms its heat maps hit the planted lesions more often
        cam=layers[f"block{len(WIDTHS) - 1}"],
        input_size=SIZE,
    )
