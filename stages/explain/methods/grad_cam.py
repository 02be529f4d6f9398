"""Grad-CAM (Selvaraju et al. 2017) through captum, for convolutional maps and for a transformer's tokens."""

from __future__ import annotations

import math

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam

from ...shared.core.errors import UserError
from ...shared.model.model import Classifier
from ...shared.model.predict import as_tensor

# Shapes: B batch, C channels, H×W pixels, h×w cells of the layer's map, T tokens


def grad_cam(model: Classifier, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Heat maps, float32 B×H×W in 0…1, for uint8 images B×H×W×C and the class each map is to speak of.

    A map that is zero everywhere (nothing speaks for the class) stays zero.
    """
    model.eval()
    # asking for gradients of the input builds the graph even where every weight is frozen
    tensor = as_tensor(images).float().requires_grad_()
    if model.backbone.cam is None:
        raise UserError(
            f"explain: {type(model.backbone.network).__name__} has no layer that holds a map of the image, so Grad-CAM "
            "has nothing to look at. Take it out of matrix.backbone."
        )
    layer = model.backbone.network.get_submodule(model.backbone.cam)
    if model.backbone.cam_layout == "map":
        maps = LayerGradCam(model, layer).attribute(tensor, target=torch.from_numpy(targets), relu_attributions=True)
    else:
        maps = other_maps(model, layer, tensor, torch.from_numpy(targets))
    maps = LayerAttribution.interpolate(maps.detach(), tensor.shape[2:], "bilinear")[:, 0]
    peaks = maps.flatten(1).amax(dim=1)[:, None, None]
    return torch.where(peaks > 0, maps / peaks.clamp_min(1e-12), 0.0).numpy().astype(np.float32)


def other_maps(model: Classifier, layer: torch.nn.Module, tensor: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """B×1×h×w: the same sum over channels of activation × mean gradient, where channels come last (B×H×W×C), and with
    B×T×C tokens laid out as a square."""
    held: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda _m, _i, output: held.append(output))
    try:
        logits = model(tensor)
    finally:
        handle.remove()
    gradients = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), held[0])[0]
    activations, gradients = (as_map(t, model.backbone.cam_skip) for t in (held[0], gradients))
    return (activations * gradients.mean(dim=(2, 3), keepdim=True)).sum(dim=1, keepdim=True).relu()


def as_map(values: torch.Tensor, skip: int) -> torch.Tensor:
    """B×H×W×C or B×T×C -> B×C×h×w, without the first `skip` tokens."""
    if values.dim() == 3:
        cells = math.isqrt(values.shape[1] - skip)
        values = values[:, skip:].reshape(len(values), cells, cells, -1)
    return values.permute(0, 3, 1, 2)
