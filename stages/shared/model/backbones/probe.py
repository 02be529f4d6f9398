"""What a network does with a blank image: the length of its feature vector, the order of its modules, its maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from .base import Layout, MapLayer

POOLING = (nn.MaxPool2d, nn.AvgPool2d)


@dataclass(frozen=True)
class Output:
    """Of a module: its name, the shape of its tensor, and how many modules of Probe.called had begun by then."""

    module: str
    shape: tuple[int, ...]
    begun: int


@dataclass(frozen=True)
class Probe:
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
        shape = output.shape
        if len(shape) == 4 and shape[2] == shape[3] > 1:
            return self._layer(output, shape[1], shape[2], "map")
        if len(shape) == 4 and shape[1] == shape[2] > 1:
            return self._layer(output, shape[3], shape[1], "channels_last")
        if len(shape) == 3:  # class tokens may come in later: with or without the prefix
            for skip in (self.prefix, 0):
                cells = math.isqrt(max(shape[1] - skip, 0))
                if cells > 1 and cells**2 == shape[1] - skip:
                    return self._layer(output, shape[2], cells, "tokens", skip)
        return None

    def _layer(self, output: Output, channels: int, cells: int, layout: Layout, skip: int = 0) -> MapLayer:
        return MapLayer(output.module, channels, round(self.side / cells), layout, skip)

    def layer_at(self, module: str) -> MapLayer | None:
        """The module's own output; None: it is no map."""
        return next((self.layer(o) for o in self.outputs if o.module == module), None)


def probe(network: nn.Module, size: tuple[int, int], prefix: int = 0) -> Probe:
    """One pass in eval mode; leaves the network as it was."""
    names = {module: name for name, module in network.named_modules()}
    called: list[str] = []
    outputs: list[Output] = []

    def enter(module: nn.Module, _: object) -> None:
        called.append(names[module])

    def leave(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            outputs.append(Output(names[module], tuple(output.shape), len(called)))

    hooks = [m.register_forward_hook(leave) for m in network.modules()]
    hooks += [m.register_forward_pre_hook(enter) for m in network.modules() if list(m.parameters(recurse=False))]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, *size))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return Probe(network, size[0], called, outputs, prefix)


def map_layers(probe: Probe, blocks: Mapping[str, Sequence[str]]) -> dict[str, MapLayer]:
    """Of each block what it hands to the next one, where that is a map; of the last one what is averaged. A stem is
    asked before its pooling: the finest detail there is."""
    layers: dict[str, MapLayer] = {}
    for block, outputs in by_block(probe, blocks).items():
        for output in reversed(outputs):
            one_cell = math.prod(output.shape) == max(output.shape)
            if one_cell or (block == "stem" and isinstance(probe.network.get_submodule(output.module), POOLING)):
                continue
            layer = probe.layer(output)
            if layer and all(layer.stride >= other.stride for other in layers.values()):
                layers[block] = layer
            break
    return layers


def by_block(probe: Probe, blocks: Mapping[str, Sequence[str]]) -> dict[str, list[Output]]:
    """The outputs that came after a block's first module had begun, and before the next block's."""
    homes: list[str | None] = [None]  # after so many calls
    for module in probe.called:
        own = [block for block, parts in blocks.items() if belongs(module, parts)]
        homes.append(own[0] if own else homes[-1])
    return {block: [o for o in probe.outputs if homes[o.begun] == block] for block in blocks}


def belongs(name: str, parts: Sequence[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def last_map(layers: Mapping[str, MapLayer], blocks: Sequence[str]) -> MapLayer | None:
    """For Grad-CAM; not before half-way, where a map says little about the answer."""
    late = [layers[block] for block in blocks[len(blocks) // 2 :] if block in layers]
    return late[-1] if late else None


def without_inplace(network: nn.Module) -> None:
    """In-place activations overwrite what hooks keep."""
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            setattr(module, "inplace", False)  # noqa: B010 (nn.Module's attributes are typed as modules)
