"""Backbones: networks that turn images into feature vectors, cut into ordered stages.

Every backbone takes B×3×H×W, normalised, and gives B×F.
"""

from __future__ import annotations

from ..errors import unknown
from ..recipe import Architecture
from .base import Backbone

__all__ = ["Backbone", "build", "known"]


def known(source: str) -> list[str]:
    """The names that a source defines."""
    if source == "lightbox":
        return ["small_cnn"]
    from torchvision import models

    names: list[str] = models.list_models(module=models)
    return names


def build(architecture: Architecture) -> Backbone:
    """The backbone with random weights.

    Raises:
        UserError: the source does not define that name; lists the nearest ones.
    """
    if architecture.name not in known(architecture.source):
        where = f"backbones: name for source {architecture.source!r}"
        raise unknown(where, architecture.name, known(architecture.source))
    if architecture.source == "lightbox":
        from .small_cnn import small_cnn

        return small_cnn()
    from .torchvision import torchvision_backbone

    return torchvision_backbone(architecture.name)
