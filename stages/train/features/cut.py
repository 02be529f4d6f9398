"""Cut a classifier where its learning part begins.

    tail(*prefix(images)) == model(images)

The prefix never learns, so its outputs can be kept (store.py). Both parts call the model's own modules: training the
tail trains the model. torch.fx traces the backbone down to its blocks, which stay whole and run in whichever mode they
are in. A step of the graph belongs to the prefix when it depends on frozen steps and parameters alone, draws no random
numbers and changes no buffer. It is run to see.

Shapes: B batch, C channels, H×W pixels, K classes
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Interpreter, Node, Tracer

from ...shared.model.backbones.base import Backbone
from ...shared.model.model import Classifier
from ..plan.apply import modes_kept, set_modes

BATCHES = (2, 3)  # two batch sizes tell what grows with the batch from what does not
NETWORK = "network."  # Backbone's attribute, which is what is traced; names of blocks start behind it
Forward = Callable[..., Any]  # (backbone, *tensors)


class NoCut(Exception):
    """Why there is no prefix to keep: the end of a sentence to print."""


class Prefix:
    """uint8 images B×C×H×W -> tuple of tensors, batch first. In eval mode and without gradients, whatever mode the
    model is in. Not an nn.Module: it owns nothing."""

    def __init__(self, model: Classifier, blocks: Sequence[str], forward: Forward, code: str) -> None:
        self.model, self.blocks, self.code, self._forward = model, tuple(blocks), code, forward

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with modes_kept(self.model), torch.no_grad():
            self.model.eval()
            outputs = self._forward(self.model.backbone, self.model.normalise(images))
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every parameter and buffer that the outputs depend on, by name."""
        backbone = self.model.backbone
        frozen = {p for block in self.blocks for p in backbone.parameters_of(block)}
        tensors = {"mean": self.model.mean, "std": self.model.std}
        tensors |= {name: p for name, p in backbone.named_parameters() if p in frozen}
        for owner, module in backbone.named_modules():
            if all(p in frozen for p in module.parameters(recurse=False)):  # not the BatchNorm of what learns
                tensors |= {f"{owner}.{name}": b for name, b in module.named_buffers(recurse=False)}
        return tensors


class Tail:
    """The prefix's tensors -> logits B×K, by the model's own modules and parameters. Not an nn.Module, so that a
    module which holds it does not list them twice."""

    def __init__(self, model: Classifier, forward: Forward) -> None:
        self.model, self._forward = model, forward

    def __call__(self, *tensors: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model.head(self._forward(self.model.backbone, *tensors))
        return logits


def split(model: Classifier, frozen: Collection[str], shape: Sequence[int]) -> tuple[Prefix, Tail]:
    """Cut behind the leading blocks of `model.backbone.blocks` that are `frozen`, for images of `shape` C×H×W.

    Parts that draw random numbers in training, such as dropout between two blocks, go to the tail, and so does all
    that depends on them. The modes of the modules and the random state are left as they were.

    Raises:
        NoCut: no block is frozen, the network cannot be traced, or nothing frozen comes before what learns.
    """
    leading = list(takewhile(lambda block: block in frozen, model.backbone.blocks))
    if not leading:
        raise NoCut("the first block of the backbone is not frozen for the whole training")
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (max(BATCHES), *shape), dtype=torch.uint8, generator=generator)
    images = noise.to(model.mean.device)
    devices = [images.device] if images.is_cuda else []
    with torch.no_grad(), modes_kept(model), torch.random.fork_rng(devices=devices):
        set_modes(model, leading)
        prefix, tail = parts(model, leading, images)
        model.eval()
        whole, joined = model(images), tail(*prefix(images))
    if not torch.allclose(whole, joined, rtol=1e-4, atol=1e-5 * float(whole.abs().max())):
        raise NoCut(f"cut in two it gives other results (by up to {float((whole - joined).abs().max()):.2g})")
    return prefix, tail


def parts(model: Classifier, frozen: Sequence[str], images: torch.Tensor) -> tuple[Prefix, Tail]:
    """The whole backbone needs no tracing, unless a dropout behind its last block draws random numbers."""
    backbone, floats = model.backbone, model.normalise(images)
    if len(frozen) == len(backbone.blocks):
        with side_effects(backbone) as changes:
            backbone(floats)
        if not changes:
            return Prefix(model, frozen, type(backbone).forward, "backbone"), Tail(model, lambda _, features: features)
    before, after, code = cut(backbone, frozen, [floats[:size] for size in BATCHES])
    return Prefix(model, frozen, before, code), Tail(model, after)


def cut(backbone: Backbone, blocks: Sequence[str], batches: Sequence[torch.Tensor]) -> tuple[Forward, Forward, str]:
    """(prefix, tail, the prefix's code). The backbone is in the modes it has in training; `batches`: floats B×3×H×W,
    of BATCHES' sizes.

    Raises:
        NoCut: with the reason.
    """
    members = {p for block in blocks for p in backbone.parameters_of(block)}
    frozen = {name for name, p in backbone.named_parameters() if p in members}
    graph = trace(backbone, frozen)
    values = [Probe(backbone, graph, frozen).values(batch) for batch in batches]
    before = {node for node in values[0] if node.op != "get_attr"}
    while bad := [n for n in frontier(graph, before) if not is_batch(n, values) and size_of(n, values, 0) is None]:
        before -= set(bad)  # cannot be kept: the tail computes it from its inputs
    kept = [n for n in frontier(graph, before) if is_batch(n, values)]
    needed = ancestors(kept)
    if not any(uses(backbone, node) for node in needed):
        raise NoCut("nothing that learns comes behind its frozen blocks alone")
    first, second = prefix_graph(graph, kept, needed), tail_graph(graph, kept, before, values)
    return forward_of(backbone, first), forward_of(backbone, second), str(first.python_code("self").src)


def trace(backbone: Backbone, frozen: set[str]) -> Graph:
    """Raises NoCut where the network cannot be traced, or runs another way in training than in evaluation."""
    with modes_kept(backbone):
        try:
            evaluation, training = (
                BlockTracer(backbone, frozen).trace(Shell(backbone.train(m))) for m in (False, True)
            )
        except Exception as error:  # whatever the network's own code does when it is given no tensor
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise NoCut(f"torch.fx cannot trace it ({reason})") from error
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
        features: torch.Tensor = self.network(x)
        return features


class BlockTracer(Tracer):
    """Opens the containers of blocks. Blocks, and all that learns as a whole or has no parameters, stay closed."""

    def __init__(self, backbone: Backbone, frozen: set[str]) -> None:
        super().__init__()
        self.parts = [NETWORK + part for block in backbone.blocks.values() for part in block]
        self.frozen = frozen

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        mixed = any(f"{name}.{n}" in self.frozen for n, _ in module.named_parameters())
        return not mixed or any(name == part or name.startswith(part + ".") for part in self.parts)


class Probe(Interpreter):
    """Runs the steps that depend on frozen things alone."""

    def __init__(self, backbone: Backbone, graph: Graph, frozen: set[str]) -> None:
        super().__init__(backbone, garbage_collect_values=False, graph=graph)
        self.backbone, self.learning = backbone, {n for n, _ in backbone.named_parameters()} - frozen
        self.frozen_values: dict[Node, Any] = {}

    def values(self, batch: torch.Tensor) -> dict[Node, Any]:
        """What each frozen step gives for the batch."""
        self.run(batch)
        return self.frozen_values

    def run_node(self, node: Node) -> Any:
        fixed = all(n in self.frozen_values for n in node.all_input_nodes)
        if node.op == "output" or not fixed or uses(self.backbone, node) & self.learning:
            return None
        module = self.backbone.get_submodule(str(node.target)) if node.op == "call_module" else nn.Identity()
        with side_effects(module) as changes:
            value = super().run_node(node)
        if not changes:
            self.frozen_values[node] = value
        return value


@contextmanager
def side_effects(module: nn.Module) -> Iterator[list[str]]:
    """A list that afterwards names what the block changed: random numbers, or buffers of the module (put back)."""
    changes: list[str] = []
    random, buffers = random_states(), {name: b.clone() for name, b in module.named_buffers()}
    yield changes
    if not all(map(torch.equal, random, random_states())):
        changes.append("random numbers")
    for name, buffer in module.named_buffers():
        if not torch.equal(buffer, buffers[name]):
            changes.append(name)
            buffer.copy_(buffers[name])


def random_states() -> list[torch.Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]


def uses(backbone: Backbone, node: Node) -> set[str]:
    """Names of the parameters that a step reads itself."""
    if node.op == "call_module":
        return {f"{node.target}.{n}" for n, _ in backbone.get_submodule(str(node.target)).named_parameters()}
    return {str(node.target)} if node.op == "get_attr" else set()


def frontier(graph: Graph, before: set[Node]) -> list[Node]:
    """Steps whose values cross the cut."""
    return [n for n in graph.nodes if n in before and any(user not in before for user in n.users)]


def is_batch(node: Node, values: Sequence[dict[Node, Any]]) -> bool:
    """Whether the step gives a tensor, batch first."""
    tensors = [value[node] for value in values]
    return all(isinstance(t, torch.Tensor) and t.shape[:1] == (size,) for t, size in zip(tensors, BATCHES, strict=True))


def size_of(node: Node, values: Sequence[dict[Node, Any]], batch: Any) -> Any:
    """The value of a step that gives numbers, alone or in tuples, for any batch; `batch` stands for the batch size.
    None: it gives something else."""

    def general(a: Any, b: Any) -> Any:
        if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
            sizes = tuple(general(x, y) for x, y in zip(a, b, strict=True))
            return None if None in sizes else sizes
        if isinstance(a, int) and a == b:
            return a
        return batch if (a, b) == BATCHES else None

    return None if any(isinstance(v[node], torch.Tensor) for v in values) else general(*(v[node] for v in values))


def ancestors(nodes: Sequence[Node]) -> set[Node]:
    """The nodes and all that they depend on."""
    visited, waiting = set(nodes), list(nodes)
    while waiting:
        new = set(waiting.pop().all_input_nodes) - visited
        visited |= new
        waiting += new
    return visited


def prefix_graph(graph: Graph, kept: Sequence[Node], needed: set[Node]) -> Graph:
    new = Graph()
    copies: dict[Node, Node] = {}
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
            copies[node] = size_of(node, values, batch)
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
