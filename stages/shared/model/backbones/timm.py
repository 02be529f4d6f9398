"""Any timm classification model as a backbone. The blocks are timm's own groups of layers (`group_matcher`, made for
layer-wise learning rates); input size and normalisation are those of the tag's weights."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import timm
from timm.models import group_parameters
from torch import nn

from ...core.errors import UserError
from .base import Backbone, MapLayer, Normalisation, belongs, stem_and_blocks
from .maps import ForwardPass, forward_pass, last_map, map_layers

# whose published weights, those of an installed package, want another normalisation than timm's: (x − 127) / 128
NORMALISED = {"tf_efficientnet_lite0": Normalisation((127 / 255,) * 3, (128 / 255,) * 3)}
SMALL = 0.02  # share of the parameters below which what timm leaves over (a last norm) is no block of its own
# where timm's groups are single blocks, and there are so many that nobody wants to count them
NATURAL = {
    "inception_resnet_v2": [
        ["conv2d_1a", "conv2d_2a", "conv2d_2b", "conv2d_3b", "conv2d_4a"],
        ["mixed_5b", "repeat"],
        ["mixed_6a", "repeat_1"],
        ["mixed_7a", "repeat_2", "block8", "conv2d_7b"],
    ]
}


def timm_backbone(name: str) -> Backbone:
    """`name`: a network, or network.tag.

    Raises:
        UserError: timm does not say how its layers are grouped, or it gives no feature vector.
    """
    network: Any = timm.create_model(name, pretrained=False, num_classes=0)
    published = network.pretrained_cfg
    channels, height, width = published["input_size"]
    if channels != 3:
        raise refused(name, f"takes {channels} channels")
    if not hasattr(network, "group_matcher"):
        raise refused(name, "does not say how its layers are grouped")
    run = forward_pass(network, (height, width), prefix=int(getattr(network, "num_prefix_tokens", 0)))
    if len(shape := run.outputs[-1].shape) != 2:
        raise refused(name, f"gives {'×'.join(map(str, shape))} numbers an image instead of a feature vector")
    blocks = stem_and_blocks(in_order(NATURAL.get(name.partition(".")[0]) or cut(network), run.called))
    layers = map_layers(run, blocks)
    normalisation = NORMALISED.get(name) or Normalisation(tuple(published["mean"]), tuple(published["std"]))
    return Backbone(
        network, blocks, run.feature_count, normalisation, layers,
        cam_layer(run) or last_map(layers, list(blocks)), heads(published), (height, width),
        bool(published.get("fixed_input_size")),
    )  # fmt: skip


def refused(name: str, why: str) -> UserError:
    return UserError(
        f"backbones: timm's {name!r} {why}, so it cannot be a backbone here. Choose another of its family, or such as "
        "resnet50, convnext_tiny or vit_base_patch16_224."
    )


def heads(published: dict[str, Any]) -> tuple[str, ...]:
    """What holds the classifier; parts of it that the network keeps (a norm) stay where they are."""
    named = published.get("classifier") or ()
    return tuple(name.partition(".")[0] for name in ((named,) if isinstance(named, str) else named))


def cut(network: Any) -> list[list[str]]:
    """Dotted names of the parts of each block: timm's groups; the last one, which holds what no group claims, goes with
    the one before it where it is small."""
    sizes = {name: p.numel() for name, p in network.named_parameters()}
    try:
        matcher = network.group_matcher(coarse=True)
    except (AssertionError, NotImplementedError) as error:
        raise refused(type(network).__name__, f"does not say how its layers are grouped ({error})") from None
    groups = [g for g in group_parameters(network, matcher).values() if g]
    if len(groups) > 2 and sum(sizes[n] for n in groups[-1]) < SMALL * sum(sizes.values()):
        *groups, before, last = groups
        groups.append(before + last)
    return [owners(group, list(sizes)) for group in groups]


def in_order(groups: list[list[str]], called: list[str]) -> list[list[str]]:
    """The groups, those run together that the forward pass goes back and forth between."""
    home = {name: i for name in called for i, group in enumerate(groups) if belongs(name, group)}
    visits = [home[name] for name in called if name in home]
    joined = {i for before, after in pairwise(visits) for i in range(after + 1, before + 1)}  # to the group before
    merged: list[list[str]] = []
    for i, group in enumerate(groups):
        if i in joined:
            merged[-1] += group
        else:
            merged.append(list(group))
    return merged


def owners(group: list[str], every: list[str]) -> list[str]:
    """The largest modules whose parameters are all in the group; single parameters where there is none."""
    outside = {prefix for name in set(every) - set(group) for prefix in prefixes(name)}
    return list(dict.fromkeys(next((p for p in prefixes(name) if p not in outside), name) for name in group))


def prefixes(name: str) -> list[str]:
    """a.b.c -> a, a.b, a.b.c"""
    pieces = name.split(".")
    return [".".join(pieces[:i]) for i in range(1, len(pieces) + 1)]


def cam_layer(run: ForwardPass) -> MapLayer | None:
    """Of a transformer the last block's first norm: behind that block the gradients of the patches are zero, where the
    head reads the class token only. None: the last block's map."""
    blocks = getattr(run.network, "blocks", None)
    if not isinstance(blocks, nn.Sequential | nn.ModuleList) or not len(blocks):
        return None
    layer = run.layer_at(f"blocks.{len(blocks) - 1}.norm1")
    return layer if layer and layer.layout == "tokens" else None
