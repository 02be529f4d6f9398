"""The optimiser, with weight decay on what it is meant for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import optim

from ..params.recipe import Adam, AdamW, RmsProp, Sgd

_KINDS: dict[str, type[optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": optim.SGD,
    "rmsprop": optim.RMSprop,
}


def make_optimizer(settings: Adam | AdamW | Sgd | RmsProp, groups: Iterable[Mapping[str, Any]]) -> optim.Optimizer:
    """`groups`: {"params", "name", "lr"} each. Every one becomes up to two parameter groups of the same name and rate:
    what decays, and what does not."""
    options = settings.model_dump(exclude={"name", "weight_decay"})
    split = [part for group in groups for part in split_decay(group, settings.weight_decay)]
    return _KINDS[settings.name](split, **options)


def split_decay(group: Mapping[str, Any], weight_decay: float) -> list[dict[str, Any]]:
    """Weights of matrices and filters decay; biases and the parameters of norms (one dimension or none) do not."""
    parameters = list(group["params"])
    parts = (
        (weight_decay, [p for p in parameters if p.ndim > 1]),
        (0.0, [p for p in parameters if p.ndim <= 1]),
    )
    return [{**group, "params": part, "weight_decay": decay} for decay, part in parts if part]
