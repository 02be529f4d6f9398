"""A network's last map, and the gradient of a class with respect to it.

Shapes: B images, C channels, H×W pixels, h×w cells
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ...shared.model.model import Model


def last_map(model: Model, images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(map, gradient of the sum of the logits of `targets`), both B×C×h×w, from one pass there and back."""
    layer = model.backbone.cam
    assert layer is not None  # the method asks first
    # asking for gradients of the input builds the graph even where every weight is frozen
    images = images.detach().requires_grad_()
    with model.backbone.outputs_of([layer.module]) as outputs:
        logits = model(images)
    output = outputs[layer.module]
    (gradient,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), output)
    return layer.as_map(output.detach()), layer.as_map(gradient)


def on_image(cells: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """B×1×h×w -> B×H×W, of the size of the images."""
    return F.interpolate(cells, images.shape[2:], mode="bilinear")[:, 0]
