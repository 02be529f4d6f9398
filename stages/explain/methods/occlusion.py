"""Occlusion (Zeiler and Fergus 2014): what the class loses where a window hides a part of the image.

Shapes: B images, C channels, H×W pixels, P places of the window
"""

from __future__ import annotations

import torch

from ...shared.model.model import Model
from .method import grey, log_probability, parts

WINDOW = 1 / 8  # of the side
STEP = 1 / 2  # of the window


@torch.no_grad()
def maps(model: Model, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Of each pixel the mean loss of log-probability over the windows that cover it. Many windows of many images make
    one pass."""
    hidden = windows(images.shape[2], images.shape[3]).to(images.device)
    whole = log_probability(model, images, targets)
    fill, places = grey(images), len(hidden)
    losses = []
    for numbers in parts(len(images) * places, images):
        image, place = numbers // places, numbers % places
        occluded = torch.where(hidden[place, None], fill[image], images[image])
        losses.append(whole[image] - log_probability(model, occluded, targets[image]))
    loss, cover = torch.cat(losses).reshape(len(images), places), hidden.float()
    return torch.einsum("bp,phw->bhw", loss, cover) / cover.sum(dim=0)


def windows(height: int, width: int) -> torch.Tensor:
    """P×H×W booleans, true inside. Together they cover every pixel; the last of a row or column may overlap more."""
    rows, columns = bands(height), bands(width)
    return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(0, 1)


def bands(length: int) -> torch.Tensor:
    """Places × length booleans."""
    size = max(1, round(WINDOW * length))
    starts = torch.arange(0, length - size, max(1, round(STEP * size))).tolist()
    pixels = torch.arange(length)
    return torch.stack([(pixels >= start) & (pixels < start + size) for start in [*starts, length - size]])
