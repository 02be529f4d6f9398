"""What of params.yaml only the libraries know, and takes seconds to ask; `params.check` comes first."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .shared.core.errors import UserError, unknown
from .shared.core.paths import PARAMS, Key
from .study import entry, resolve
from .train.params import Backbone
from .train.start.registered import fetch

WATCHED = Path("models/pretrained")  # a dependency of every training in dvc.yaml


def check_names(raw: Mapping[str, Any], keys: list[Key]) -> None:
    """Transforms and their arguments, networks by name, the size they insist on, tags of weights, registered models
    (each is fetched, and said which version it is), and plans: of blocks that the backbone has not, or epochs that
    never come.

    Raises:
        UserError: the first fault found.
    """
    from .shared.arrays.transforms import build

    spec = resolve("preprocess", raw).spec
    build(spec.steps, f"{PARAMS}: preprocess.steps", channels=spec.channels, deterministic=True)
    for params in (resolve("train", raw, key) for key in keys[:1]):
        build(params.augment, f"{PARAMS}: train.augment", channels=spec.channels, keep_size=True)
    for name in dict.fromkeys(key.backbone for key in keys):
        backbone = entry("backbones", name, raw)
        _check_network(f"{PARAMS}: backbones.{name}", backbone, spec.height_width)
    check_plans(raw, keys)


def check_plans(raw: Mapping[str, Any], keys: list[Key]) -> None:
    """Every strategy on every backbone. Raises UserError, which names the strategy, for the first fault found."""
    from .train.plan.strategies import make_plan

    blocks = {name: _blocks(entry("backbones", name, raw)) for name in dict.fromkeys(key.backbone for key in keys)}
    for key in keys:
        params = resolve("train", raw, key)
        try:
            make_plan(params.strategy, blocks[key.backbone], params.epochs)
        except UserError as error:
            told = str(error).replace("strategies:", f"strategies.{key.strategy}:", 1)
            raise UserError(told) from None


def _check_network(where: str, backbone: Backbone, size: tuple[int, int]) -> None:
    from .shared.model.backbones import known, only_size, tags

    valid = known(backbone.source)
    network, _, tag = backbone.name.partition(".") if backbone.source == "timm" else (backbone.name, "", "")
    if network not in valid:
        raise unknown(f"{where}.name", network, valid)
    if tag and tag not in tags(network):
        raise unknown(f"{where}.name: tag of {network!r}", tag, tags(network))
    if backbone.kind == "tag" and backbone.weights not in tags(network):
        raise unknown(f"{where}.weights", backbone.weights, tags(network))
    if backbone.source == "timm" and backbone.kind == "imagenet" and not tags(network):
        raise UserError(
            f"{where}.weights: imagenet: timm has no weights for {network!r}. Give none or the path of a file."
        )
    if (only := only_size(backbone.architecture)) not in (None, size):
        told = only[0] if only[0] == only[1] else list(only)
        raise UserError(
            f"{PARAMS}: preprocess.size: {list(size)}: {where.partition(': ')[2]} takes {told} and nothing else. Set "
            f"preprocess.size: {told}, or take that backbone out of matrix.backbone."
        )
    if backbone.kind == "registry":
        fetch(backbone.weights)
    if backbone.kind == "file" and WATCHED not in Path(backbone.weights).parents:
        print(
            f"note: {where}.weights: {backbone.weights} lies outside {WATCHED}, the folder that DVC watches. When the "
            "file changes, train again by `dvc repro -f train@…`, or keep it there under a name of its own.",
            file=sys.stderr,
        )


def _blocks(backbone: Backbone) -> list[str]:
    import torch

    from .shared.model.backbones import build

    try:
        with torch.device("meta"):  # its shape alone, without memory or random numbers
            return list(build(backbone.architecture).blocks)
    except (NotImplementedError, RuntimeError):  # it computes with its weights while it is built
        return list(build(backbone.architecture).blocks)
