"""Eigen-CAM (Muhammad and Yeasin 2020): the first principal component of the last map, whatever the class."""

from __future__ import annotations

import torch

from ...shared.model.model import Model
from .activations import on_image


def maps(model: Model, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The cells projected on their first right singular vector, which has no sign: the larger side is the hot one."""
    layer = model.backbone.cam
    assert layer is not None
    with torch.no_grad():
        (cells,) = model.backbone.maps_of([layer], model.normalise(images))
        table = cells.flatten(2).transpose(1, 2).float()  # B × hw × C
        values, vectors = torch.linalg.eigh(table @ table.transpose(1, 2))  # hw × hw, the largest last
        first = vectors[..., -1] * values[:, -1:].clamp_min(0).sqrt()
        first = first * first.sum(dim=1, keepdim=True).sign()
        return on_image(first.reshape(-1, 1, *cells.shape[2:]), images)
