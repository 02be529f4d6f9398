"""Pretrained weights into a backbone. A download that fails says what to do; nothing else is used in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..shared.backbones import Backbone
from ..shared.errors import UserError
from ..shared.paths import find_input
from .params import Backbone as Choice

SHOWN = 8  # names listed of what does not fit


def load_pretrained(backbone: Backbone, choice: Choice) -> None:
    """Fill `backbone` in place with the weights `choice` names.

    Raises:
        UserError: the weights are not to be had, or do not fit; lists what does not.
    """
    if choice.weights == "imagenet":
        fill(backbone, imagenet(choice.name), f"ImageNet weights of {choice.name}")
    elif choice.weights != "none":
        path = find_input(choice.weights)
        fill(backbone, read(path), str(choice.weights))


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file."""
    if not path.is_file():
        raise UserError(
            f"params.yaml: backbones: weights: {path}: no such file. Put it there, or give none or imagenet."
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a readable .safetensors file ({error}). Copy or export it again.") from None


def imagenet(name: str) -> Mapping[str, torch.Tensor]:
    """torchvision's default ImageNet weights, from its cache or over the network, checksum verified."""
    from torchvision import models

    chosen = models.get_model_weights(name).DEFAULT
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(chosen.url).name
    try:
        return dict(chosen.get_state_dict(progress=True, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:
        raise UserError(
            f"backbones: weights: imagenet: {name} could not be downloaded from {chosen.url} ({error}). Nothing was "
            f"used in its place. Check the network and run `dvc repro` again; or fetch that file elsewhere and put "
            f"it at {cached}; or give backbones.*.weights the path of a .safetensors file; or set it to none."
        ) from None


def fill(backbone: Backbone, given: Mapping[str, torch.Tensor], source: str) -> None:
    """Names as in the network, or as in this project's own models/<key>/weights.safetensors; a head is left out."""
    own = backbone.network.state_dict()
    tensors = {own_name(name): t for name, t in given.items()}
    tensors = {name: t for name, t in tensors.items() if not is_head(name, backbone)}
    counters = {name: t for name, t in own.items() if name.endswith(".num_batches_tracked")}
    tensors = counters | tensors  # older files lack them, and nothing here reads them
    missing = sorted(own.keys() - tensors.keys())
    extra = sorted(tensors.keys() - own.keys())
    misfit = [
        f"{n} {tuple(tensors[n].shape)} instead of {tuple(own[n].shape)}"
        for n in sorted(own.keys() & tensors.keys())
        if own[n].shape != tensors[n].shape
    ]
    if missing or extra or misfit:
        faults = [
            f"{what}: {shorten(names)}"
            for what, names in (("missing", missing), ("not in the network", extra), ("other shape", misfit))
            if names
        ]
        raise UserError(
            f"{source}: does not fit {type(backbone.network).__name__}. {'; '.join(faults)}. "
            "Choose the backbone these weights were made for."
        )
    backbone.network.load_state_dict(tensors)


def own_name(name: str) -> str:
    """As the network calls it: without our prefixes, and with the names DenseNet's layers have had since 2017
    (torchvision's published files still hold the older ones, denselayer1.norm.1)."""
    name = name.removeprefix("backbone.").removeprefix("network.")
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)


def is_head(name: str, backbone: Backbone) -> bool:
    return name.startswith(("head.1.", f"{backbone.removed_head}.")) and name not in backbone.network.state_dict()


def shorten(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
