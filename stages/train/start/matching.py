"""Tensors by name into a backbone: which names mean the same, which belong to a head, and what does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from ...shared.core.errors import UserError
from ...shared.model.backbones.base import Backbone

Tensors = Mapping[str, torch.Tensor]
SHOWN = 8  # names listed of what does not fit
OWN = "backbone.network."  # this project's own models/<key>/weights.safetensors, whose head is `head.`
WRAPPINGS = ("module.", "_orig_mod.", "model.", "backbone.", "network.", "encoder.")


def fill(backbone: Backbone, tensors: Tensors, source: str) -> None:
    """The names are those of the network, or of this project's own files; a head is left out.

    Raises:
        UserError: a tensor is missing, left over, of another shape, quantised or not finite; names it, and the network
            stays as it was.
    """
    own = backbone.network.state_dict()
    heads = tuple(f"{head}." for head in backbone.removed_head)
    tensors = {n: t for n, t in unwrapped(tensors, own).items() if n in own or not n.startswith(heads)}
    counters = {name: t for name, t in own.items() if name.endswith(".num_batches_tracked")}
    tensors = counters | tensors  # older files lack them, and nothing here reads them
    faults = {
        "missing": sorted(own.keys() - tensors.keys()),
        "not in the network": sorted(tensors.keys() - own.keys()),
        "other shape": [
            f"{n} {tuple(tensors[n].shape)} instead of {tuple(own[n].shape)}"
            for n in sorted(own.keys() & tensors.keys())
            if own[n].shape != tensors[n].shape
        ],
    }
    if any(faults.values()):
        more = {fault: f" and {len(n) - SHOWN} more" if len(n) > SHOWN else "" for fault, n in faults.items()}
        message = "; ".join(f"{fault}: {', '.join(n[:SHOWN])}{more[fault]}" for fault, n in faults.items() if n)
        raise UserError(
            f"{source}: does not fit {type(backbone.network).__name__}. {message}. "
            "Choose the backbone these weights were made for."
        )
    for name, tensor in own.items():
        if tensor.is_floating_point() and not tensors[name].is_floating_point():
            raise UserError(
                f"{source}: {name} is {tensors[name].dtype}, and a training starts from float weights. Export them as "
                "they were before they were quantised."
            )
        if not tensors[name].isfinite().all():
            raise UserError(
                f"{source}: {name} contains values that are NaN or infinite: the training that it comes from diverged. "
                "Use other weights, such as those of an earlier epoch."
            )
    backbone.network.load_state_dict(tensors)


def unwrapped(tensors: Tensors, own: Tensors) -> dict[str, torch.Tensor]:
    """With the network's names, `own`. A prefix that a training program puts before every name of its model is removed,
    unless the network has a part of that name, or two tensors would then have the same name (a teacher and a student
    in one file). DenseNet's layers get the names that they have had since 2017 (torchvision's published files still
    have the older ones, denselayer1.norm.1)."""
    if any(name.startswith(OWN) for name in tensors):
        return {n.removeprefix(OWN): t for n, t in tensors.items() if not n.startswith("head.")}
    usable = [p for p in WRAPPINGS if not any(name.startswith(p) for name in own)]
    while wrapping := next((p for p in usable if any(name.startswith(p) for name in tensors)), None):
        shorter = {name.removeprefix(wrapping): t for name, t in tensors.items()}
        if len(shorter) < len(tensors):
            break
        tensors = shorter
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name): t for name, t in tensors.items()}
