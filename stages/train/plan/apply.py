"""A plan on a model: the one place that freezes.

A group is a block of the backbone, or "head". A frozen group gets no gradients, and its modules are in eval mode: the
statistics of its BatchNorm are frozen too, and its dropout is off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import takewhile

import torch
from torch import nn
from torch.autograd.graph import Node

from ...shared.model.model import Model
from .strategies import HEAD, Epoch, Plan


def frozen_in(epoch: Epoch) -> set[str]:
    """The groups that do not learn in this epoch."""
    return {group for group, rate in epoch.items() if rate is None}


def ever_learning(plan: Plan) -> set[str]:
    """The groups that learn in at least one epoch."""
    return {group for epoch in plan for group, rate in epoch.items() if rate is not None}


def frozen_throughout(plan: Plan) -> tuple[str, ...]:
    """The leading blocks that never learn, in order: up to the first that ever does. Their outputs can be cached."""
    learning = ever_learning(plan)
    return tuple(takewhile(lambda group: group != HEAD and group not in learning, plan[0]))


def groups_of(model: Model) -> dict[str, list[nn.Parameter]]:
    """The parameters of every group, in the order of the forward pass."""
    blocks = {block: list(model.backbone.parameters_of(block)) for block in model.backbone.blocks}
    return {**blocks, HEAD: list(model.head.parameters())}


def without_effect(model: Model, images: torch.Tensor) -> frozenset[nn.Parameter]:
    """Parameters that the outputs do not depend on, such as those of a block behind the last map that a U-Net reads:
    they never get a gradient, and DDP would wait for it. All parameters of `model` ask for gradients; `images`: uint8
    B×C×H×W."""
    with modes_kept(model), torch.enable_grad():
        ahead: list[Node | None] = [model.eval()(images).grad_fn]
    steps: set[Node] = set()
    while ahead:
        step = ahead.pop()
        if step is not None and step not in steps:
            steps.add(step)
            ahead += [before for before, _ in step.next_functions]
    used = {getattr(step, "variable", None) for step in steps}  # the last step before a parameter holds it
    return frozenset(parameter for parameter in model.parameters() if parameter not in used)


def set_gradients(model: Model, learning: Collection[str], idle: Collection[nn.Parameter] = ()) -> None:
    """Gradients for the groups in `learning` but not for `idle` parameters, and for no others."""
    for group, parameters in groups_of(model).items():
        for parameter in parameters:
            parameter.requires_grad_(group in learning and parameter not in idle)


def set_modes(model: Model, frozen: Collection[str]) -> None:
    """Train mode, and eval mode for the frozen groups."""
    model.train()
    for group in frozen:
        for module in [model.head] if group == HEAD else model.backbone.modules_of(group):
            module.eval()


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Inside, modes may be changed; afterwards each module has the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
