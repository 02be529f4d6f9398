"""Grad-CAM (Selvaraju et al. 2017), for convolutional maps and for a transformer's tokens."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from ...shared.core.errors import UserError
from ...shared.model.model import Model
from ...shared.model.predict import as_tensor

# Shapes: B batch, C channels, H×W pixels, h×w cells of the layer's map


def grad_cam(model: Model, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Heat maps, float32 B×H×W in 0…1, of uint8 images B×H×W×C; `targets` (B) is the class each map is about.

    Where nothing speaks for the class the map is zero everywhere. Raises UserError for a network without a map of the
    image.
    """
    layer = model.backbone.cam
    if layer is None:
        raise UserError(
            f"explain: {type(model.backbone.network).__name__} has no layer with a map of the image, so Grad-CAM "
            "has nothing to look at. Take it out of matrix.backbone."
        )
    model.eval()
    # asking for gradients of the input builds the graph even where every weight is frozen
    tensor = as_tensor(images).float().requires_grad_()
    with model.backbone.outputs_of([layer.module]) as outputs:
        logits = model(tensor)
    output = outputs[layer.module]
    (gradient,) = torch.autograd.grad(logits.gather(1, torch.from_numpy(targets)[:, None]).sum(), output)
    weights = layer.as_map(gradient).mean(dim=(2, 3), keepdim=True)
    maps = (layer.as_map(output.detach()) * weights).sum(dim=1, keepdim=True).relu()  # B×1×h×w
    maps = F.interpolate(maps, tensor.shape[2:], mode="bilinear")[:, 0]
    peaks = maps.flatten(1).amax(dim=1)[:, None, None]
    heat: np.ndarray = torch.where(peaks > 0, maps / peaks.clamp_min(1e-12), 0.0).numpy().astype(np.float32)
    return heat
