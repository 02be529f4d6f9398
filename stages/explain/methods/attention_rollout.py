"""Attention rollout (Abnar and Zuidema 2020): how much of each patch reaches the class token through all layers.

Shapes: B images, T tokens
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ...shared.model.model import Model
from .activations import on_image
from .method import from_lowest


@torch.no_grad()
def maps(model: Model, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The heads of a layer count alike, and half of each token stays itself, as in the paper. A network without a class
    token averages its patches, and so does the map."""
    layer = model.backbone.cam
    assert layer is not None
    with attentions(model.backbone.network) as layers:
        model(images)
    tokens = layers[0].shape[-1]
    flow = torch.eye(tokens, device=images.device)
    for attention in layers:
        mixed = (attention.float() + torch.eye(tokens, device=images.device)) / 2
        flow = mixed / mixed.sum(dim=2, keepdim=True) @ flow
    patches = (flow[:, 0] if layer.skip else flow.mean(dim=1))[:, layer.skip :]
    side = math.isqrt(patches.shape[1])
    return from_lowest(on_image(patches.reshape(-1, 1, side, side), images))


def unable(model: Model) -> str | None:
    layer, network = model.backbone.cam, model.backbone.network
    if layer is None or layer.layout != "tokens" or not attention_modules(network):
        return f"{type(network).__name__} is no transformer whose tokens attend to the whole image"
    return None


def attention_modules(network: nn.Module) -> list[nn.Module]:
    """timm's and PyTorch's own, in the order of the layers."""
    from timm.layers.attention import Attention

    return [module for module in network.modules() if isinstance(module, Attention | nn.MultiheadAttention)]


@contextmanager
def attentions(network: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Inside, a pass puts the attention of each layer, B×T×T, the mean over its heads, into the list."""
    layers: list[torch.Tensor] = []
    hooks, fused = [], []
    for module in attention_modules(network):
        if isinstance(module, nn.MultiheadAttention):
            hooks.append(module.register_forward_pre_hook(ask_for_weights, with_kwargs=True))
            hooks.append(module.register_forward_hook(lambda *call: layers.append(call[-1][1])))
        else:  # the fused kernel keeps no weights; the plain one hands them to its dropout
            fused.append((module, module.fused_attn))
            module.fused_attn = False  # type: ignore[assignment]
            dropout = module.get_submodule("attn_drop")
            hooks.append(dropout.register_forward_hook(lambda *call: layers.append(call[-1].mean(dim=1))))
    try:
        yield layers
    finally:
        for hook in hooks:
            hook.remove()
        for module, was_fused in fused:
            module.fused_attn = was_fused


def ask_for_weights(_: nn.Module, inputs: Any, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return inputs, settings | {"need_weights": True, "average_attn_weights": True}
