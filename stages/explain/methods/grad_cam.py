"""Grad-CAM (Selvaraju et al. 2017), for convolutional maps and for a transformer's tokens."""

from __future__ import annotations

import torch

from ...shared.model.model import Model
from .activations import last_map, on_image


def maps(model: Model, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    cells, gradient = last_map(model, images, targets)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return on_image((cells * weights).sum(dim=1, keepdim=True).relu(), images)


def unable(model: Model) -> str | None:
    if model.backbone.cam is None:
        return f"{type(model.backbone.network).__name__} has no layer with a map of the image"
    return None
