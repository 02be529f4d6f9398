"""Which modules of a network give a map of the image, found in a forward pass of a blank one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from .base import MapLayer, belongs

POOLING = (nn.MaxPool2d, nn.AvgPool2d)


@dataclass(frozen=True)
class Output:
    """Of a module: its name, the shape of its tensor, and how many modules of ForwardPass.called had begun by then."""

    module: str
    shape: tuple[int, ...]
    begun: int


@dataclass(frozen=True)
class ForwardPass:
    """side: of the image, pixels. called: modules with parameters of their own, in the order of the calls. outputs: in
    the order in which the modules ended; the last one is the network's. prefix: tokens in front of those of cells."""

    network: nn.Module
    side: int
    called: list[str]
    outputs: list[Output]
    prefix: int

    @property
    def feature_count(self) -> int:
        return self.outputs[-1].shape[1]

    def layer(self, output: Output) -> MapLayer | None:
        """None: that output is no map: square, as the image is, of more than one cell."""
        match output.shape:
            case (_, channels, rows, columns) if rows == columns > 1:
                return MapLayer(output.module, channels, round(self.side / rows))
            case (_, rows, columns, channels) if rows == columns > 1:
                return MapLayer(output.module, channels, round(self.side / rows), "channels_last")
            case (_, tokens, channels):
                for skip in (self.prefix, 0):  # class tokens may come in later: with or without the prefix
                    cells = math.isqrt(max(tokens - skip, 0))
                    if cells > 1 and cells**2 == tokens - skip:
                        return MapLayer(output.module, channels, round(self.side / cells), "tokens", skip)
        return None

    def layer_at(self, module: str) -> MapLayer | None:
        """The module's own output; None: it is no map."""
        return next((self.layer(output) for output in self.outputs if output.module == module), None)


def forward_pass(network: nn.Module, size: tuple[int, int], prefix: int = 0) -> ForwardPass:
    """One pass in eval mode, which leaves the network as it was, but for its in-place activations: they would overwrite
    what hooks keep, and are in place no longer."""
    called: list[str] = []
    outputs: list[Output] = []
    hooks = []
    for name, module in network.named_modules():
        if getattr(module, "inplace", False) is True:
            setattr(module, "inplace", False)  # noqa: B010 (nn.Module's attributes are typed as modules)

        def leave(_module: nn.Module, _inputs: object, output: object, name: str = name) -> None:
            if isinstance(output, torch.Tensor):
                outputs.append(Output(name, tuple(output.shape), len(called)))

        hooks.append(module.register_forward_hook(leave))
        if list(module.parameters(recurse=False)):
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: called.append(name)))
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, *size))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return ForwardPass(network, size[0], called, outputs, prefix)


def map_layers(run: ForwardPass, blocks: Mapping[str, Sequence[str]]) -> dict[str, MapLayer]:
    """Of each block what it hands to the next one, where that is a map; of the last one what is averaged. A stem is
    asked before its pooling: the finest detail there is.

    A block's outputs are those that came after its first module had begun, and before the next block's.
    """
    current: str | None = None
    after: list[str | None] = [None]  # the block in which the pass was, after so many calls
    for module in run.called:
        current = next((block for block, parts in blocks.items() if belongs(module, parts)), current)
        after.append(current)
    layers: dict[str, MapLayer] = {}
    for block in blocks:
        for output in reversed([o for o in run.outputs if after[o.begun] == block]):
            one_cell = math.prod(output.shape) == max(output.shape)
            if one_cell or (block == "stem" and isinstance(run.network.get_submodule(output.module), POOLING)):
                continue
            layer = run.layer(output)
            if layer and all(layer.stride >= other.stride for other in layers.values()):
                layers[block] = layer
            break
    return layers


def last_map(layers: Mapping[str, MapLayer], blocks: Sequence[str]) -> MapLayer | None:
    """For Grad-CAM; not before half-way, where a map says little about the answer."""
    late = [layers[block] for block in blocks[len(blocks) // 2 :] if block in layers]
    return late[-1] if late else None
