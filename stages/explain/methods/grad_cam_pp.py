"""Grad-CAM++ (Chattopadhay et al. 2018): where several places speak for a class, each counts."""

from __future__ import annotations

import torch

from ...shared.model.model import Model
from .activations import last_map, on_image


def maps(model: Model, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """With the closed form of the paper (its equation 19), in which the score is the exponential of the logit: its
    higher derivatives are then powers of the gradient."""
    cells, gradient = last_map(model, images, targets)
    square = gradient**2
    total = 2 * square + cells.sum(dim=(2, 3), keepdim=True) * gradient**3
    alpha = torch.where(total != 0, square / torch.where(total != 0, total, 1), 0)
    weights = (alpha * gradient.relu()).sum(dim=(2, 3), keepdim=True)
    return on_image((cells * weights).sum(dim=1, keepdim=True).relu(), images)
