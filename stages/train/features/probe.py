"""Which steps of a traced backbone always give the same for the same image: it runs them to see.

A step is frozen when it depends on frozen steps and parameters alone, draws no random numbers and changes no buffer,
in the modes that the modules have in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, Interpreter, Node

from ...shared.model.backbones import Backbone


class Probe(Interpreter):
    """Runs the steps that depend on frozen things alone."""

    def __init__(self, backbone: Backbone, graph: Graph, frozen: set[str]) -> None:
        super().__init__(backbone, garbage_collect_values=False, graph=graph)
        self.backbone, self.learning = backbone, {n for n, _ in backbone.named_parameters()} - frozen
        self.found: dict[Node, Any] = {}

    def values(self, batch: torch.Tensor) -> dict[Node, Any]:
        """What each frozen step gives for the batch."""
        self.run(batch)
        return self.found

    def run_node(self, node: Node) -> Any:
        fixed = all(n in self.found for n in node.all_input_nodes) and not uses(self.backbone, node) & self.learning
        if node.op == "output" or not fixed:
            return None
        before = random_state(self.backbone), moving(self.backbone, node)
        value = super().run_node(node)
        after = random_state(self.backbone), moving(self.backbone, node)
        if equal(before[0], after[0]) and equal(before[1], after[1]):
            self.found[node] = value
        else:
            for buffer, old in zip(buffers(self.backbone, node), before[1], strict=True):
                buffer.copy_(old)
        return value


def uses(backbone: Backbone, node: Node) -> set[str]:
    """Names of the parameters that a step reads itself."""
    if node.op == "call_module":
        return {f"{node.target}.{n}" for n, _ in backbone.get_submodule(str(node.target)).named_parameters()}
    return {str(node.target)} if node.op == "get_attr" else set()


def buffers(backbone: Backbone, node: Node) -> list[torch.Tensor]:
    return list(backbone.get_submodule(str(node.target)).buffers()) if node.op == "call_module" else []


def moving(backbone: Backbone, node: Node) -> list[torch.Tensor]:
    """Copies of a step's buffers: one that changes when run, like a running mean, is not frozen."""
    return [buffer.clone() for buffer in buffers(backbone, node)]


def random_state(module: nn.Module) -> list[torch.Tensor]:
    device = next(module.parameters()).device
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def equal(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def draws_nothing(backbone: Backbone, batch: torch.Tensor) -> bool:
    """Whether the backbone, in the modes it is in, draws no random numbers and changes no buffer."""
    state = random_state(backbone), [b.clone() for b in backbone.buffers()]
    backbone(batch)
    same = equal(state[0], random_state(backbone)) and equal(state[1], list(backbone.buffers()))
    for buffer, old in zip(backbone.buffers(), state[1], strict=True):
        buffer.copy_(old)
    return same
