"""Cut a classifier where its learning part begins.

    tail(*prefix(images)) == model(images)

The prefix is what stays frozen for the whole training, so that its outputs can be kept (cache.py). Both parts call the
model's own modules: training the tail trains the model. Where the cut goes: tracing.py.

Shapes: B batch, C channels, H×W pixels, K classes
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import torch
from torch import nn

from ...shared.model.model import Classifier
from ..plan.apply import modes_kept, set_modes
from .probe import draws_nothing
from .tracing import BATCHES, NoCut, blocks_in, cut

__all__ = ["NoCut", "Prefix", "Tail", "split"]


class Prefix:
    """uint8 images B×C×H×W -> tuple of tensors, batch first. In eval mode and without gradients, whatever mode the
    model is in. Not an nn.Module: it owns nothing."""

    def __init__(self, model: Classifier, blocks: Sequence[str], forward: Callable[..., Any], code: str) -> None:
        self.model, self.blocks, self.code, self._forward = model, tuple(blocks), code, forward

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with evaluating(self.model), torch.no_grad():
            found = self._forward(self.model.backbone, self.model.normalise(images))
        return found if isinstance(found, tuple) else (found,)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every parameter and buffer that the outputs depend on, by name."""
        backbone = self.model.backbone
        frozen = {p for block in self.blocks for p in backbone.parameters_of(block)}
        found = {"mean": self.model.mean, "std": self.model.std}
        found |= {name: p for name, p in backbone.named_parameters() if p in frozen}
        for owner, module in backbone.named_modules():
            own = list(module.parameters(recurse=False))
            if all(p in frozen for p in own):  # not the BatchNorm statistics of what learns
                found |= {f"{owner}.{name}": b for name, b in module.named_buffers(recurse=False)}
        return found

    def to(self, device: torch.device | str) -> Prefix:
        """Moves the model, and so the tail as well."""
        self.model.to(device)
        return self


class Tail:
    """The prefix's tensors -> logits B×K, by the model's own modules and parameters. Not an nn.Module, so that a
    module which holds it does not list them twice."""

    def __init__(self, model: Classifier, forward: Callable[..., torch.Tensor]) -> None:
        self.model, self._forward = model, forward

    def __call__(self, *tensors: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model.head(self._forward(self.model.backbone, *tensors))
        return logits

    def to(self, device: torch.device | str) -> Tail:
        """Moves the model, and so the prefix as well."""
        self.model.to(device)
        return self


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
    images = noise(shape).to(model.mean.device)
    with torch.no_grad(), modes_kept(model), fork_random_state(images):
        set_modes(model, leading)
        prefix, tail = parts(model, leading, images)
        with evaluating(model):
            check(model, prefix, tail, images)
    return prefix, tail


def parts(model: Classifier, frozen: Sequence[str], images: torch.Tensor) -> tuple[Prefix, Tail]:
    """The whole backbone needs no tracing, unless a dropout behind its last block draws random numbers."""
    backbone, floats = model.backbone, model.normalise(images)
    if len(frozen) == len(backbone.blocks) and draws_nothing(backbone, floats):
        return Prefix(model, frozen, type(backbone).forward, "backbone"), Tail(model, lambda _, features: features)
    before, after, code = cut(backbone, blocks_in(backbone, frozen), [floats[:size] for size in BATCHES])
    return Prefix(model, frozen, before, code), Tail(model, after)


def check(model: Classifier, prefix: Prefix, tail: Tail, images: torch.Tensor) -> None:
    whole, in_two = model(images), tail(*prefix(images))
    if not torch.allclose(whole, in_two, rtol=1e-4, atol=1e-5 * float(whole.abs().max())):
        raise NoCut(f"cut in two it gives other results (by up to {float((whole - in_two).abs().max()):.2g})")


def noise(shape: Sequence[int]) -> torch.Tensor:
    """uint8 B×C×H×W."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (max(BATCHES), *shape), dtype=torch.uint8, generator=generator)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; outside, each module has the mode it had."""
    with modes_kept(model):
        model.eval()
        yield


def fork_random_state(images: torch.Tensor) -> Any:
    return torch.random.fork_rng(devices=[images.device] if images.is_cuda else [])
