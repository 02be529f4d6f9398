"""What a backbone is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from ...core.errors import UserError

# Shapes: B batch, C channels, H×W pixels, h×w cells of a map, T tokens, F features
Layout = Literal["map", "channels_last", "tokens"]
WITH_MAPS = "small_cnn, VGG, AlexNet, ResNet, DenseNet, EfficientNet, MobileNet, Inception-ResNet, ConvNeXt, Swin, ViT"

WITH_PYRAMID = "small_cnn, VGG, AlexNet, ResNet, DenseNet, EfficientNet, MobileNet, Inception-ResNet, ConvNeXt, Swin"


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation of images in 0…1 that the weights expect."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class MapLayer:
    """A module of the network whose output is a map of the image.

    channels: C. stride: pixels of the image per cell, each way. layout of the output: map B×C×h×w, channels_last
    B×h×w×C, or tokens B×T×C, of which the first `skip` are no cells and the others a square.
    """

    module: str
    channels: int
    stride: int
    layout: Layout = "map"
    skip: int = 0

    def as_map(self, output: torch.Tensor) -> torch.Tensor:
        """B×C×h×w, from the module's output or a gradient of its shape."""
        if self.layout == "map":
            return output
        if self.layout == "tokens":
            cells = math.isqrt(output.shape[1] - self.skip)
            output = output[:, self.skip :].reshape(len(output), cells, cells, output.shape[2])
        return output.permute(0, 3, 1, 2)


class Backbone(nn.Module):
    """A network without its head.

    network: B×3×H×W -> B×F
    blocks: name -> dotted names of modules or parameters of the network, in the order of the forward pass; together
        they cover every parameter exactly once.
    feature_count: F.
    map_layers: of each block that ends in a map of the image, where that map is; in order, resolutions never increase.
    cam: the map that Grad-CAM weighs; None: the network has none that fits.
    removed_head: dotted names of what was taken off, and of auxiliary outputs that were never put on.
    input_size: height and width, pixels, that the published weights were made for; `fixed_size`: it takes no other.
    """

    def __init__(
        self,
        network: nn.Module,
        blocks: dict[str, list[str]],
        feature_count: int,
        normalisation: Normalisation,
        map_layers: dict[str, MapLayer] | None = None,
        cam: MapLayer | None = None,
        removed_head: tuple[str, ...] = ("head",),
        input_size: tuple[int, int] = (224, 224),
        fixed_size: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.blocks = blocks
        self.feature_count = feature_count
        self.normalisation = normalisation
        self.map_layers = map_layers or {}
        self.cam = cam
        self.removed_head = removed_head
        self.input_size = input_size
        self.fixed_size = fixed_size
        for name, _ in network.named_parameters():
            self.block_of(name)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """B×3×H×W -> B×F. Raises UserError for a size that the network does not take."""
        if self.fixed_size and tuple(x.shape[2:]) != self.input_size:
            height, width = self.input_size
            raise UserError(
                f"params.yaml: preprocess.size: {type(self.network).__name__} takes images of exactly {height}×{width} "
                f"and was given {x.shape[2]}×{x.shape[3]}. Set preprocess.size: "
                f"{height if height == width else [height, width]}, or choose a backbone that takes any size."
            )
        features: torch.Tensor = self.network(x)
        return features

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """B×3×H×W -> B×C×h×w of each of `map_layers`, from one pass. Raises UserError where there are none."""
        if not self.map_layers:
            raise UserError(
                f"backbones: no block of {type(self.network).__name__} ends in a map of the image. Choose one whose "
                f"blocks do: {WITH_MAPS}."
            )
        return self.maps_of(list(self.map_layers.values()), x)

    @property
    def levels(self) -> list[MapLayer]:
        """Of the pyramid: the last map of each resolution, finest first. So the last block is one of them."""
        return list({layer.stride: layer for layer in self.map_layers.values()}.values())

    def pyramid(self, x: torch.Tensor) -> list[torch.Tensor]:
        """B×3×H×W -> B×C×h×w of each of `levels`, from one pass."""
        return self.maps_of(self.levels, x)

    def maps_of(self, layers: Sequence[MapLayer], x: torch.Tensor) -> list[torch.Tensor]:
        """B×3×H×W -> B×C×h×w of each of these layers, from one pass."""
        with self.outputs_of(layer.module for layer in layers) as outputs:
            self.features(x)
        return [layer.as_map(outputs[layer.module]) for layer in layers]

    @contextmanager
    def outputs_of(self, modules: Iterable[str]) -> Iterator[dict[str, torch.Tensor]]:
        """Inside, every pass puts what these modules give into the dict, by name, as the network goes on with it."""
        outputs: dict[str, torch.Tensor] = {}
        hooks = [
            self.network.get_submodule(name).register_forward_hook(lambda *call, n=name: outputs.update({n: call[-1]}))
            for name in modules
        ]
        try:
            yield outputs
        finally:
            for hook in hooks:
                hook.remove()

    def block_of(self, name: str) -> str:
        """The block of a parameter or module of the network, by its dotted name."""
        owners = [block for block, parts in self.blocks.items() if belongs(name, parts)]
        if len(owners) != 1:
            raise AssertionError(f"{type(self.network).__name__}: {name} must be in one block and is in {owners}")
        return owners[0]

    def parameters_of(self, block: str) -> Iterator[nn.Parameter]:
        return (p for name, p in self.network.named_parameters() if self.block_of(name) == block)

    def modules_of(self, block: str) -> list[nn.Module]:
        modules = dict(self.network.named_modules(remove_duplicate=False))
        return [modules[part] for part in self.blocks[block] if part in modules]


def belongs(name: str, parts: Sequence[str]) -> bool:
    """Whether a dotted name is one of the parts, or inside one."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def stem_and_blocks(groups: Sequence[list[str]]) -> dict[str, list[str]]:
    """The groups under the names stem, block1, block2, …"""
    return {f"block{i}" if i else "stem": parts for i, parts in enumerate(groups)}
