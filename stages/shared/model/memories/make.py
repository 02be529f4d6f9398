"""From the settings of a memory to a new one."""

from __future__ import annotations

from ..backbones.base import Backbone, MapLayer
from .gaussian import MahalanobisMemory, PositionMemory
from .memory import Memory, last_layer, layers_of
from .neighbours import KnnMemory, PatchMemory
from .settings import Knn, Mahalanobis, MemorySettings, Padim, PatchKnn


def make_memory(settings: MemorySettings, backbone: Backbone) -> tuple[Memory, list[MapLayer]]:
    """(the memory, not fitted; the maps that it reads).

    Raises:
        UserError: the backbone has no maps, or none in a block that is named.
    """
    match settings:
        case Knn(neighbours=neighbours):
            last = last_layer(backbone)
            return KnnMemory(last.channels, neighbours), [last]
        case Mahalanobis():
            last = last_layer(backbone)
            return MahalanobisMemory(last.channels), [last]
        case PatchKnn(blocks=blocks, neighbours=neighbours, coreset=share, max_mb=max_mb):
            layers = layers_of(backbone, blocks, settings.plan)
            return PatchMemory(sum(layer.channels for layer in layers), neighbours, share, max_mb), layers
        case Padim(blocks=blocks, channels=channels):
            layers = layers_of(backbone, blocks, settings.plan)
            return PositionMemory(sum(layer.channels for layer in layers), channels), layers
