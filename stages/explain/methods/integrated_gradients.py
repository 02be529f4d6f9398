"""Integrated gradients (Sundararajan et al. 2017), by captum: gradients of the pixels, summed on the way from a grey
image to the image itself."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ...shared.model.model import Model
from .method import MANY_PIXELS, PIXELS, grey, log_probability

STEPS = 32
NEAR = 1 / 64  # of the side; how far a pixel's neighbourhood reaches


def maps(model: Model, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Means over a small neighbourhood: single pixels jump."""
    values = attributions(model, images, targets).sum(dim=1, keepdim=True)
    reach = round(NEAR * min(images.shape[2:]))
    return F.avg_pool2d(values, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)[:, 0]


def attributions(model: Model, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """B×C×H×W; each image's sum is nearly its log-probability less that of the grey image."""
    from captum.attr import IntegratedGradients

    def score(pixels: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        return log_probability(model, pixels, classes)

    pixels = PIXELS.get(images.device.type, MANY_PIXELS) // (images.shape[2] * images.shape[3])
    values: torch.Tensor = IntegratedGradients(score).attribute(
        images,
        baselines=grey(images).expand_as(images),
        additional_forward_args=(targets,),
        n_steps=STEPS,
        internal_batch_size=max(pixels, len(images)),
    )
    return values.detach()
