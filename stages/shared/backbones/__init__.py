"""Backbones: networks that turn images into feature vectors, cut into ordered stages.

Every backbone takes B×3×H×W, normalised, and gives B×F.
"""

from __future__ import annotations

from ..errors import unknown
from ..recipe import Architecture
from .base import Backbone

__all__ = ["Backbone", "build"]


def build(architecture: Architecture) -> Backbone:
    """The backbone with random weights.

    Raises:
        UserError: the source does not define that name; lists the nearest ones.
    """
    if architecture.source == "lightbox":
        from .small_cnn import small_cnn

        makers = {"small_cnn": small_cnn}
        if architecture.name not in makers:
            raise unknown("backbones: name for source 'lightbox'", architecture.name, makers)
        return makers[architecture.name]()
    from .torchvision import torchvision_backbone

    return torchvision_backbone(architecture.name)
