"""What a network does with a blank image: the length of its feature vector, and the layer for Grad-CAM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from .base import Layout

UNTELLING = (nn.AdaptiveAvgPool2d, nn.ReLU, nn.Dropout, nn.Identity)


@dataclass(frozen=True)
class Probe:
    """output: shape of what the network gives. called: modules with parameters of their own, in the order of the
    calls. seen: (module, shape of its output), in the order of their ends."""

    network: nn.Module
    output: tuple[int, ...]
    called: list[str]
    seen: list[tuple[str, tuple[int, ...]]]


class Cam(NamedTuple):
    """See Backbone."""

    layer: str | None
    skip: int = 0
    layout: Layout = "map"


def probe(network: nn.Module, size: tuple[int, int]) -> Probe:
    """One pass in eval mode; leaves the network as it was."""
    names = {module: name for name, module in network.named_modules()}
    called: list[str] = []
    seen: list[tuple[str, tuple[int, ...]]] = []

    def enter(module: nn.Module, _: object) -> None:
        called.append(names[module])

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            seen.append((names[module], tuple(output.shape)))

    hooks = [m.register_forward_hook(note) for m in network.modules()]
    hooks += [m.register_forward_pre_hook(enter) for m in network.modules() if list(m.parameters(recurse=False))]
    was_training = network.training
    try:
        with torch.no_grad():
            output = network.eval()(torch.zeros(1, 3, *size))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return Probe(network, tuple(output.shape), called, seen)


def last_map(found: Probe, layout: Layout = "map") -> Cam:
    """The last module to give a map with more than one cell: square, as the image is, and not before half-way (a
    transformer's only map is that of its first layer)."""
    down, across = (2, 3) if layout == "map" else (1, 2)
    for name, shape in reversed(found.seen[len(found.seen) // 2 :]):
        telling = len(shape) == 4 and shape[down] == shape[across] > 1
        if telling and not isinstance(found.network.get_submodule(name), UNTELLING):
            return Cam(name, layout=layout)
    return Cam(None)


def tokens(found: Probe, layer: str, skip: int) -> Cam | None:
    """That layer, if it gives tokens which are a square of cells, behind the first `skip` or all of them (class tokens
    may come in later)."""
    shape = dict(found.seen).get(layer, ())
    if len(shape) != 3:
        return None
    fitting = [n for n in (skip, 0) if shape[1] > n and math.isqrt(shape[1] - n) ** 2 == shape[1] - n]
    return Cam(layer, fitting[0], "tokens") if fitting else None


def without_inplace(network: nn.Module) -> None:
    """In-place activations overwrite what Grad-CAM's hooks hold."""
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False
