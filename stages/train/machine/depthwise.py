"""Depthwise convolutions whose gradients are quick on a CPU in bfloat16, too.

oneDNN computes them there in plain loops for a step of more than one pixel (the gradient of the images) and for kernels
other than 3×3 (the gradient of the weights): half of efficientnet_b0's step. In float32 it has kernels for both.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input, conv2d_weight

Geometry = tuple[Any, Any, Any, int]  # stride, padding, dilation, groups


class MixedGradients(torch.autograd.Function):
    """F.conv2d; of its gradients those that bfloat16 is slow at are computed in float32.

    Shapes: images bf16 B×C×H×W, weight C×1×kH×kW, bias C or None.
    """

    @staticmethod
    def forward(
        ctx: Any, images: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Geometry
    ) -> torch.Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry = geometry
        bias = None if bias is None else bias.to(images.dtype)
        return F.conv2d(images, weight.to(images.dtype), bias, *geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        for_images, for_weight, for_bias, _ = ctx.needs_input_grad
        of_images = of_weight = of_bias = None
        if for_images:
            dtype = torch.float32 if max(ctx.geometry[0]) > 1 else slope.dtype
            of_images = conv2d_input(images.shape, weight.to(dtype), slope.to(dtype), *ctx.geometry).to(images.dtype)  # type: ignore[no-untyped-call]
        if for_weight:
            dtype = slope.dtype if tuple(weight.shape[2:]) == (3, 3) else torch.float32
            of_weight = conv2d_weight(images.to(dtype), weight.shape, slope.to(dtype), *ctx.geometry).to(weight.dtype)  # type: ignore[no-untyped-call]
        if for_bias:
            of_bias = slope.float().sum((0, 2, 3)).to(weight.dtype)
        return of_images, of_weight, of_bias, None


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise nn.Conv2d; another way to its gradients where it learns on a CPU under bfloat16 autocast."""

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        here = input.device.type == "cpu" and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")
        if not here or torch.get_autocast_dtype("cpu") != torch.bfloat16:
            usual: torch.Tensor = super()._conv_forward(input, weight, bias)
            return usual
        geometry = (self.stride, self.padding, self.dilation, self.groups)
        with torch.autocast("cpu", enabled=False):
            outputs: torch.Tensor = MixedGradients.apply(input.to(torch.bfloat16), weight, bias, geometry)
        return outputs


def quick_gradients(model: nn.Module) -> None:
    """Let the depthwise convolutions of `model` that gain be DepthwiseConv2d; parameters and their names stay."""
    for module in model.modules():
        if type(module) is nn.Conv2d and gains(module):
            module.__class__ = DepthwiseConv2d


def gains(module: nn.Conv2d) -> bool:
    depthwise = module.groups == module.in_channels == module.out_channels > 1
    plain = module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return depthwise and plain and (max(module.stride) > 1 or module.kernel_size != (3, 3))
