"""The optimiser, with weight decay on what it is meant for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import optim

from ..params.recipe import Optimizer

KINDS: dict[str, type[optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": optim.SGD,
    "rmsprop": optim.RMSprop,
}


def make_optimizer(settings: Optimizer, groups: Iterable[Mapping[str, Any]]) -> optim.Optimizer:
    """`groups`: {"params", "name", "lr"} each. Every one becomes up to two parameter groups of the same name and rate:
    weights of matrices and filters, which decay; biases and the parameters of norms (one dimension or none), which do
    not."""
    parts = []
    for group in groups:
        parameters = list(group["params"])
        decaying, others = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
        for part, decay in ((decaying, settings.weight_decay), (others, 0.0)):
            if part:
                parts.append({**group, "params": part, "weight_decay": decay})
    return KINDS[settings.name](parts, **settings.model_dump(exclude={"name", "weight_decay"}))
