"""Cut a model where its learning part begins.

    tail(*prefix(images)) == model(images)

The prefix never learns, so its outputs can be kept (store.py). Both parts call the model's own modules: training the
tail trains the model. torch.fx traces the network down to its blocks, which stay whole and run in whichever mode they
are in. A step of the graph belongs to the prefix when it depends on frozen steps and parameters alone, draws no random
numbers and changes no buffer. To find out, it is run.

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

from ...shared.model.backbones.base import Backbone, belongs
from ...shared.model.model import Classifier, Model
from ..plan.apply import modes_kept, set_modes

BATCHES = (2, 3)  # two batch sizes tell what grows with the batch from what does not
Values = dict[Node, Any]
Forward = Callable[..., Any]
Encode = Callable[..., tuple[torch.Tensor, ...]]
Tail = Callable[..., torch.Tensor]  # the prefix's tensors -> logits B×K


class NoCut(Exception):
    """Why there is no prefix to keep: the end of a sentence to print."""


class Prefix:
    """uint8 images B×C×H×W -> tuple of tensors, batch first. In eval mode and without gradients, whatever mode the
    model is in. Not an nn.Module: it owns nothing."""

    def __init__(self, model: Model, blocks: Sequence[str], forward: Encode, code: str) -> None:
        self.model, self.blocks, self.code, self._forward = model, tuple(blocks), code, forward

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with modes_kept(self.model), torch.no_grad():
            self.model.eval()
            return self._forward(self.model.normalise(images))

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


def split(model: Model, frozen: Collection[str], shape: Sequence[int]) -> tuple[Prefix, Tail]:
    """Cut behind the leading blocks of `model.backbone.blocks` that are `frozen`, for images of `shape` C×H×W.

    Parts that draw random numbers in training, such as dropout between two blocks, go to the tail, and so does all
    that depends on them. The modes of the modules and the random state are left as they were. `model` is on the CPU.

    Raises:
        NoCut: no block is frozen, the network cannot be traced, or nothing frozen comes before what learns.
    """
    leading = list(takewhile(lambda block: block in frozen, model.backbone.blocks))
    if not leading:
        raise NoCut("the first block of the backbone is not frozen for the whole training")
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (max(BATCHES), *shape), dtype=torch.uint8, generator=generator)
    with torch.no_grad(), modes_kept(model), torch.random.fork_rng(devices=[]):
        set_modes(model, leading)
        before, after, code = parts(model, leading, [model.normalise(images[:size]) for size in BATCHES])
        prefix = Prefix(model, leading, before, code)

        def tail(*tensors: torch.Tensor) -> torch.Tensor:
            return model.decode(after(*tensors), (shape[1], shape[2]))

        model.eval()
        whole, joined = model(images), tail(*prefix(images))
    if not torch.allclose(whole, joined, rtol=1e-4, atol=1e-5 * float(whole.abs().max())):
        raise NoCut(f"cut in two it gives other results (by up to {float((whole - joined).abs().max()):.2g})")
    return prefix, tail


def parts(model: Model, blocks: Sequence[str], batches: Sequence[torch.Tensor]) -> tuple[Encode, Encode, str]:
    """(normalised images -> what is kept, that -> what the head reads, the first part's code). The backbone is in the
    modes it has in training; `batches`: floats B×3×H×W, of BATCHES' sizes. The whole network needs no tracing, unless a
    dropout behind its last block draws random numbers.

    Raises:
        NoCut: with the reason.
    """
    backbone = model.backbone
    if len(blocks) == len(backbone.blocks):
        with side_effects(backbone.network) as changes:
            model.encode(batches[-1])
        if not changes:
            return model.encode, lambda *encoded: encoded, f"{model.encoding}.encode"
    if not isinstance(model, Classifier):
        raise NoCut("its head reads maps from within the backbone, of which a part learns or draws random numbers")
    before, after, code = cut(backbone, blocks, batches)

    def kept(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs: tuple[torch.Tensor, ...] = before(backbone.network, images)
        return outputs

    return kept, lambda *tensors: (after(backbone.network, *tensors),), code


def cut(backbone: Backbone, blocks: Sequence[str], batches: Sequence[torch.Tensor]) -> tuple[Forward, Forward, str]:
    """(prefix, tail, the prefix's code), of a network whose output is its features; see `parts`. Both take the network,
    then tensors."""
    network = backbone.network
    frozen = {name for name, _ in network.named_parameters() if backbone.block_of(name) in blocks}
    graph = trace(backbone, frozen)
    values = [FrozenSteps(network, graph, frozen).values(batch) for batch in batches]
    before = {node for node in values[0] if node.op != "get_attr"}
    while rest := [node for node in frontier(graph, before) if not is_batch(node, values)]:
        before -= set(rest)  # cannot be kept: the tail computes it from its inputs
    kept = frontier(graph, before)
    first = part(network, graph, values[0], outputs=kept)
    if not any(uses(network, node) for node in first.graph.nodes):
        raise NoCut("nothing that learns comes behind its frozen blocks alone")
    second = part(network, graph, set(graph.nodes) - before, inputs=kept)
    return type(first).forward, type(second).forward, first.code


def trace(backbone: Backbone, frozen: set[str]) -> Graph:
    """Raises NoCut where the network cannot be traced, or runs another way in training than in evaluation."""
    network = backbone.network
    with modes_kept(network):
        try:
            evaluation, training = (BlockTracer(backbone, frozen).trace(network.train(m)) for m in (False, True))
        except Exception as error:  # whatever the network's own code does when it is given no tensor
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise NoCut(f"torch.fx cannot trace it ({reason})") from error
    if any("_tensor_constant" in str(node.target) for node in training.nodes):
        raise NoCut("it makes tensors of its own between its blocks")
    if evaluation.python_code("self").src != training.python_code("self").src:
        raise NoCut("between its blocks it runs another way in training than in evaluation")
    return training


class BlockTracer(Tracer):
    """Opens the containers of blocks. Blocks, and all that learns as a whole or has no parameters, stay closed."""

    def __init__(self, backbone: Backbone, frozen: set[str]) -> None:
        super().__init__()
        self.parts = [part for block in backbone.blocks.values() for part in block]
        self.frozen = frozen

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        mixed = any(f"{name}.{n}" in self.frozen for n, _ in module.named_parameters())
        return not mixed or belongs(name, self.parts)


class FrozenSteps(Interpreter):
    """Runs the steps that depend on frozen things alone."""

    def __init__(self, network: nn.Module, graph: Graph, frozen: set[str]) -> None:
        super().__init__(network, garbage_collect_values=False, graph=graph)
        self.network, self.learning = network, {name for name, _ in network.named_parameters()} - frozen
        self.frozen_values: Values = {}

    def values(self, batch: torch.Tensor) -> Values:
        """What each frozen step gives for the batch."""
        self.run(batch)
        return self.frozen_values

    def run_node(self, node: Node) -> Any:
        fixed = all(n in self.frozen_values for n in node.all_input_nodes)
        if node.op == "output" or not fixed or uses(self.network, node) & self.learning:
            return None
        module = self.network.get_submodule(str(node.target)) if node.op == "call_module" else nn.Identity()
        with side_effects(module) as changes:
            value = super().run_node(node)
        if not changes:
            self.frozen_values[node] = value
        return value


@contextmanager
def side_effects(module: nn.Module) -> Iterator[list[str]]:
    """A list that afterwards names what the block changed: random numbers, or buffers of the module (put back)."""
    changes: list[str] = []
    random, buffers = torch.get_rng_state(), {name: b.clone() for name, b in module.named_buffers()}
    yield changes
    if not torch.equal(random, torch.get_rng_state()):
        changes.append("random numbers")
    for name, buffer in module.named_buffers():
        if not torch.equal(buffer, buffers[name]):
            changes.append(name)
            buffer.copy_(buffers[name])


def uses(network: nn.Module, node: Node) -> set[str]:
    """Names of the parameters that a step reads itself."""
    if node.op == "call_module":
        return {f"{node.target}.{n}" for n, _ in network.get_submodule(str(node.target)).named_parameters()}
    return {str(node.target)} if node.op == "get_attr" else set()


def frontier(graph: Graph, before: set[Node]) -> list[Node]:
    """Steps whose values cross the cut."""
    return [n for n in graph.nodes if n in before and any(user not in before for user in n.users)]


def is_batch(node: Node, values: Sequence[Values]) -> bool:
    """Whether the step gives a tensor, batch first."""
    tensors = [value[node] for value in values]
    return all(isinstance(t, torch.Tensor) and t.shape[:1] == (size,) for t, size in zip(tensors, BATCHES, strict=True))


def part(
    network: nn.Module, graph: Graph, steps: Collection[Node], inputs: Sequence[Node] = (), outputs: Sequence[Node] = ()
) -> GraphModule:
    """Those steps of the graph that the outputs depend on; without `outputs`, those of the graph itself. Its forward
    can be called on the network: it finds modules, parameters and buffers there when it runs, wherever they have been
    moved to."""
    new = Graph()
    copies = {node: new.placeholder(node.name) for node in inputs}
    for node in graph.nodes:
        if node in steps and node not in copies:
            copies[node] = new.node_copy(node, copies.__getitem__)
    if outputs:
        new.output(tuple(copies[node] for node in outputs))
    module = GraphModule(network, new)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module
