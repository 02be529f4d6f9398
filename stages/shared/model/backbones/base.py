"""What a backbone is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from ...core.errors import UserError

# Shapes: B batch, C channels, H×W pixels or cells, T tokens, F features
Layout = Literal["map", "channels_last", "tokens"]


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation of images in 0…1 that the weights expect."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Backbone(nn.Module):
    """A network without its head.

    network: B×3×H×W -> B×F
    blocks: name -> dotted names of modules or parameters of the network, in the order of the forward pass; together
        they cover every parameter exactly once.
    cam: dotted name of the module whose output Grad-CAM weighs; None: the network has no map of the image. cam_layout
        of that output: map B×C×H×W, channels_last B×H×W×C, or tokens B×T×C, the first `cam_skip` of which are no cells
        of the image.
    removed_head: dotted names of what was taken off, and of auxiliary outputs that were never put on.
    input_size: height and width, pixels, that the published weights were made for; `fixed_size`: it takes no other.
    """

    def __init__(
        self,
        network: nn.Module,
        blocks: dict[str, list[str]],
        features: int,
        normalisation: Normalisation,
        cam: str | None,
        cam_skip: int = 0,
        cam_layout: Layout = "map",
        removed_head: tuple[str, ...] = ("head",),
        input_size: tuple[int, int] = (224, 224),
        fixed_size: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.blocks = blocks
        self.features = features
        self.normalisation = normalisation
        self.cam = cam
        self.cam_skip = cam_skip
        self.cam_layout = cam_layout
        self.removed_head = removed_head
        self.input_size = input_size
        self.fixed_size = fixed_size
        for name, _ in network.named_parameters():
            self.block_of(name)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.fixed_size and tuple(x.shape[2:]) != self.input_size:
            height, width = self.input_size
            raise UserError(
                f"params.yaml: preprocess.size: {type(self.network).__name__} takes images of exactly {height}×{width} "
                f"and was given {x.shape[2]}×{x.shape[3]}. Set preprocess.size: "
                f"{height if height == width else [height, width]}, or choose a backbone that takes any size."
            )
        return self.network(x)

    def block_of(self, name: str) -> str:
        """The block of a parameter or module of the network, by its dotted name."""
        found = [s for s, parts in self.blocks.items() if any(name == p or name.startswith(p + ".") for p in parts)]
        if len(found) != 1:
            raise AssertionError(f"{type(self.network).__name__}: {name} must be in one block and is in {found}")
        return found[0]

    def parameters_of(self, block: str) -> Iterator[nn.Parameter]:
        return (p for name, p in self.network.named_parameters() if self.block_of(name) == block)

    def modules_of(self, block: str) -> list[nn.Module]:
        return [m for part in self.blocks[block] if isinstance(m := _get(self.network, part), nn.Module)]


def _get(network: nn.Module, dotted: str) -> nn.Module | nn.Parameter:
    owner, _, attribute = dotted.rpartition(".")
    found: nn.Module | nn.Parameter = getattr(network.get_submodule(owner), attribute)
    return found
