"""Where a backbone can be cut: torch.fx traces it down to its blocks, which stay whole and run as they are, in
whichever mode they are in; then each step of the graph is found to be frozen or not by running it (probe.py).

Shapes: B batch, H×W pixels
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node, Tracer

from ...shared.model.backbones import Backbone
from .probe import Probe, uses

BATCHES = (2, 3)  # two batch sizes tell what grows with the batch from what does not
NETWORK = "network."  # Backbone's attribute, which is what is traced; blocks are named from there
Forward = Callable[..., Any]  # (backbone, *tensors)


class NoCut(Exception):
    """Why there is no prefix to keep: the end of a sentence to print."""


def cut(backbone: Backbone, frozen: set[str], batches: Sequence[torch.Tensor]) -> tuple[Forward, Forward, str]:
    """(prefix, tail, the prefix's code). The backbone is in the modes it has in training.

    frozen: names of the backbone's parameters that never learn; batches: floats B×3×H×W, of BATCHES' sizes.

    Raises:
        NoCut: with the reason.
    """
    graph = trace(backbone, frozen)
    runs = [Probe(backbone, graph, frozen) for _ in batches]
    values = [run.values(batch) for run, batch in zip(runs, batches, strict=True)]
    before = {node for node in values[0] if node.op != "get_attr"}
    while bad := [n for n in frontier(graph, before) if kind(n, values) is None]:
        before -= set(bad)  # cannot be kept: the tail works it out from its inputs
    kept = [n for n in frontier(graph, before) if kind(n, values) == "kept"]
    needed = ancestors(kept)
    if not any(uses(backbone, node) for node in needed):
        raise NoCut("nothing that learns comes behind its frozen blocks alone")
    first, second = prefix_graph(graph, kept, needed), tail_graph(graph, kept, before, values)
    return forward_of(backbone, first), forward_of(backbone, second), str(first.python_code("self").src)


def trace(backbone: Backbone, frozen: set[str]) -> Graph:
    """Raises NoCut where the network cannot be traced, or runs another way in training than in evaluation."""
    modes = [(module, module.training) for module in backbone.modules()]
    try:
        graphs = [BlockTracer(backbone, frozen).trace(Shell(backbone.train(mode))) for mode in (False, True)]
    except Exception as error:  # whatever the network's own code does when it meets no tensor
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise NoCut(f"torch.fx cannot trace it ({told})") from error
    finally:
        for module, mode in modes:
            module.training = mode
    evaluation, training = graphs
    if any("_tensor_constant" in str(node.target) for node in training.nodes):
        raise NoCut("it makes tensors of its own between its blocks")
    if evaluation.python_code("self").src != training.python_code("self").src:
        raise NoCut("between its blocks it runs another way in training than in evaluation")
    return training


class Shell(nn.Module):
    """A backbone without its own checks, which need numbers."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.network = backbone.network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.network(x)
        return found


class BlockTracer(Tracer):
    """Opens the containers of blocks; blocks and all that learns as a whole or has no parameters stay closed."""

    def __init__(self, backbone: Backbone, frozen: set[str]) -> None:
        super().__init__()
        self.backbone, self.frozen = backbone, frozen

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        names = [f"{name}.{n}" for n, _ in module.named_parameters()]
        return not any(n in self.frozen for n in names) or in_a_block(self.backbone, name)


def in_a_block(backbone: Backbone, name: str) -> bool:
    """Whether a module, by its name in the backbone, is a part of a block or lies in one."""
    inner = name.removeprefix(NETWORK)
    return any(inner == p or inner.startswith(p + ".") for parts in backbone.blocks.values() for p in parts)


def blocks_in(backbone: Backbone, blocks: Sequence[str]) -> set[str]:
    """Names of the blocks' parameters in the backbone."""
    members = {p for block in blocks for p in backbone.parameters_of(block)}
    return {name for name, p in backbone.named_parameters() if p in members}


def frontier(graph: Graph, before: set[Node]) -> list[Node]:
    """Steps whose values cross the cut."""
    return [n for n in graph.nodes if n in before and any(user not in before for user in n.users)]


def kind(node: Node, values: Sequence[dict[Node, Any]]) -> str | None:
    """kept: a tensor, batch first; size: made of numbers that are known or are the batch size; None: neither."""
    found = [value[node] for value in values]
    if all(isinstance(v, torch.Tensor) for v in found):
        return "kept" if all(v.dim() and len(v) == size for v, size in zip(found, BATCHES, strict=True)) else None
    try:
        sizes(*found, batch=0)
    except TypeError:
        return None
    return "size"


def sizes(a: Any, b: Any, batch: Any) -> Any:
    """The value for any batch, from those for BATCHES; `batch` stands for the batch size."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return tuple(sizes(x, y, batch) for x, y in zip(a, b, strict=True))
    if isinstance(a, int) and a == b:
        return a
    if (a, b) == BATCHES:
        return batch
    raise TypeError


def ancestors(nodes: Sequence[Node]) -> set[Node]:
    found, todo = set(nodes), list(nodes)
    while todo:
        new = set(todo.pop().all_input_nodes) - found
        found |= new
        todo += new
    return found


def prefix_graph(graph: Graph, kept: Sequence[Node], needed: set[Node]) -> Graph:
    new, copies = Graph(), {}
    for node in graph.nodes:
        if node in needed:
            copies[node] = new.node_copy(node, copies.__getitem__)
    new.output(tuple(copies[n] for n in kept))
    return new


def tail_graph(graph: Graph, kept: Sequence[Node], before: set[Node], values: Sequence[dict[Node, Any]]) -> Graph:
    new = Graph()
    copies: dict[Node, Any] = {n: new.placeholder(n.name) for n in kept}
    batch = new.call_method("size", (copies[kept[0]], 0))
    for node in frontier(graph, before):
        if node not in copies:
            copies[node] = sizes(*(v[node] for v in values), batch=batch)
    for node in graph.nodes:
        if node not in before and node not in copies:
            copies[node] = new.node_copy(node, copies.__getitem__)
    return new


def forward_of(backbone: Backbone, graph: Graph) -> Forward:
    """The graph as a function whose first argument is the backbone: it finds modules, parameters and buffers there
    when it runs, wherever they have been moved to."""
    module = GraphModule(backbone, graph)
    module.graph.eliminate_dead_code()
    module.recompile()
    forward: Forward = type(module).forward
    return forward
