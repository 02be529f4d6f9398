"""Where small_cnn's attention looks: the gates of its blocks, which scale each cell of a map by 0…1."""

from __future__ import annotations

import torch

from ...shared.model.backbones.small_cnn import SpatialAttention
from ...shared.model.model import Model
from .activations import on_image
from .method import from_lowest


@torch.no_grad()
def maps(model: Model, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Their product at the size of the image: what a pixel keeps on its way through all blocks."""
    backbone = model.backbone
    names = [name for name, part in backbone.network.named_modules() if isinstance(part, SpatialAttention)]
    with backbone.outputs_of(f"{name}.weigh" for name in names) as outputs:
        model(images)
    kept = torch.ones((), device=images.device)
    for name in names:
        kept = kept * on_image(torch.sigmoid(outputs[f"{name}.weigh"].float()), images)
    return from_lowest(kept)


def unable(model: Model) -> str | None:
    network = model.backbone.network
    if not any(isinstance(part, SpatialAttention) for part in network.modules()):
        return f"{type(network).__name__} has no spatial attention of its own"
    return None
