"""What a memory is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...core.errors import UserError, unknown
from ..backbones.base import WITH_MAPS, Backbone, MapLayer

# Shapes: B images, C channels of the maps that are read, h×w cells of the finest of them
STRIDES = (8, 16)  # pixels, of the maps that are read if nobody says which: neither edges nor whole findings


class Memory(nn.Module, ABC):
    """A head without parameters. It is fitted by `begin`, `add` for every batch of normal images, and `finish`; what it
    then knows lies in its buffers, which take the shapes of what is loaded into them."""

    @abstractmethod
    def begin(self, images: int, seed: int) -> None:
        """`images`: how many will be added."""

    @abstractmethod
    def add(self, maps: Sequence[torch.Tensor]) -> None:
        """Maps B×C×h×w of normal images, one for each block that is read."""

    @abstractmethod
    def finish(self) -> None:
        """After the last batch."""

    @abstractmethod
    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """B×2×h×w: see `..detectors`."""

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        for name, buffer in list(self.named_buffers(recurse=False)):
            if (saved := state_dict.get(prefix + name)) is not None:
                setattr(self, name, torch.empty_like(saved, device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def whole(score: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """B×2×h×w of scores B of whole images and anomalies of their cells B×h×w."""
    return torch.stack([score[:, None, None].expand_as(cells), cells], dim=1)


def together(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """B×C×h×w: the channels of all maps, with the cells of the finest."""
    finest = max((tuple(each.shape[2:]) for each in maps), key=lambda cells: cells[0] * cells[1])
    return torch.cat([F.interpolate(each.float(), finest, mode="bilinear") for each in maps], dim=1)


def last_layer(backbone: Backbone) -> MapLayer:
    """The map whose mean over the cells is an image's features. Raises UserError where there is none."""
    if not backbone.map_layers:
        raise UserError(
            f"backbones: no block of {type(backbone.network).__name__} ends in a map of the image, which the anomaly "
            f"task reads. Choose one whose blocks do: {WITH_MAPS}."
        )
    return list(backbone.map_layers.values())[-1]


def layers_of(backbone: Backbone, blocks: Sequence[str] | None, plan: str) -> list[MapLayer]:
    """Of these blocks; None: one for each of STRIDES that the backbone has, else the last.

    Raises:
        UserError: a block has no map, or does not exist; lists those that have one.
    """
    last = last_layer(backbone)
    if blocks is None:
        return [layer for layer in backbone.levels if layer.stride in STRIDES] or [last]
    for block in blocks:
        if block not in backbone.map_layers:
            raise unknown(f"strategies: blocks (plan: {plan})", block, backbone.map_layers)
    return [layer for block, layer in backbone.map_layers.items() if block in blocks]
