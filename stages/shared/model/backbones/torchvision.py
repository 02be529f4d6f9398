"""Any torchvision classification model as a backbone: head taken off, cut into blocks by one rule.

The rule: open the containers torchvision keeps its steps in (`features`, `encoder.layers`, …); the plain layers that
come first are the stem, every larger step is a block, and small ones (norms, transitions) go with the block before
them. VGG is cut after each pooling (block1 … block5) and AlexNet at each convolution (conv1 … conv5).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ...core.errors import UserError
from .base import Backbone, MapLayer, Normalisation, stem_and_blocks
from .maps import ForwardPass, forward_pass, last_map, map_layers

CONTAINERS = ("features", "encoder", "layers", "trunk_output", "blocks")
SMALL = 0.02  # share of the parameters below which a step is no block of its own
PLAIN = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d)
AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}
HANDY = (128, 128)  # pixels; networks that take any size are the same at each

Steps = list[tuple[str, nn.Module | nn.Parameter]]


def torchvision_backbone(name: str) -> Backbone:
    """Raises UserError for a network without a linear head."""
    from torchvision import models

    published = models.get_model_weights(name).DEFAULT.transforms()
    size, fixed = input_size(name)
    removed: tuple[str, ...]
    if name.startswith(("vgg", "alexnet")):
        network, removed = convolutions(name), ("classifier",)
    else:
        network = models.get_model(name, weights=None, **arguments(name, size))
        removed = (take_head_off(network, name), *AUXILIARY.get(name, ()))
    blocks = cut(network, name)
    run = forward_pass(network, size if fixed else HANDY, prefix=1)  # a ViT's class token
    layers = map_layers(run, blocks)
    return Backbone(
        network, blocks, run.feature_count, normalisation(name, published), layers,
        cam_layer(run) or last_map(layers, list(blocks)), removed, size, fixed,
    )  # fmt: skip


def input_size(name: str) -> tuple[tuple[int, int], bool]:
    """Height and width that the weights were made for; whether the network takes no other."""
    from torchvision import models

    side = models.get_model_weights(name).DEFAULT.transforms().crop_size[0]
    return (side, side), name.startswith(("vit_", "maxvit"))


def arguments(name: str, size: tuple[int, int]) -> dict[str, Any]:
    if name in AUXILIARY:
        return {"init_weights": False, "aux_logits": False}
    return {"image_size": size[0]} if name.startswith("vit_") else {}


def normalisation(name: str, published: Any) -> Normalisation:
    """The weights' own. Those of AUXILIARY came from TensorFlow: given them, torchvision undoes the ImageNet
    normalisation inside the network (transform_input) and applies this one."""
    if name in AUXILIARY:
        return Normalisation((0.5,) * 3, (0.5,) * 3)
    return Normalisation(tuple(published.mean), tuple(published.std))


def convolutions(name: str) -> nn.Module:
    """VGG or AlexNet up to its last map, which is averaged: the fully connected layers hold nine tenths of the
    parameters and would tie the network to one image size. Made without them, for the second that their random
    numbers take."""
    from torchvision import models

    with torch.device("meta"):
        network: nn.Module = models.get_model(name, weights=None)
    network.classifier, network.avgpool = nn.Identity(), nn.AdaptiveAvgPool2d(1)
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.reset_parameters()
        if isinstance(module, nn.Conv2d) and name.startswith("vgg"):  # as torchvision's VGG begins
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return network


def take_head_off(network: nn.Module, name: str) -> str:
    """Replace the last Linear by Identity, and the dropout before it, for our head brings its own; returns the
    Linear's dotted name. SqueezeNet's head is a convolution and goes up to its pooling."""
    from torchvision.models import SqueezeNet

    if isinstance(network, SqueezeNet):
        network.classifier = nn.AdaptiveAvgPool2d(1)
        return "classifier.1"
    linear = [n for n, m in network.named_modules() if isinstance(m, nn.Linear)]
    if not linear:
        raise UserError(
            f"backbones: torchvision's {name!r} has no linear head to replace. "
            "Choose another, such as resnet50, densenet121 or efficientnet_b0."
        )
    *_, last = linear
    owner, _, attribute = last.rpartition(".")
    network.set_submodule(last, nn.Identity())
    before = f"{owner}.{int(attribute) - 1 if attribute.isdigit() else 'dropout'}".removeprefix(".")
    if isinstance(dict(network.named_modules()).get(before), nn.Dropout):
        network.set_submodule(before, nn.Identity())
    return str(last)


def size_of(part: nn.Module | nn.Parameter) -> int:
    return part.numel() if isinstance(part, nn.Parameter) else sum(p.numel() for p in part.parameters())


def cut(network: nn.Module, name: str) -> dict[str, list[str]]:
    """Block -> dotted names of its parts that hold parameters; see the module's docstring for the rule."""
    every = steps(network)
    if name == "alexnet":
        return {f"conv{i}": names for i, names in enumerate(named([step] for step in every), start=1)}
    if name.startswith("vgg"):
        return {f"block{i}": names for i, names in enumerate(named(by_pooling(every)), start=1)}
    return stem_and_blocks(named(by_size(every, size_of(network))))


def named(groups: Iterable[Steps]) -> list[list[str]]:
    """Of each group the names that hold parameters; a group without any is left out."""
    names = ([name for name, part in group if size_of(part)] for group in groups)
    return [group for group in names if group]


def steps(module: nn.Module, prefix: str = "") -> Steps:
    """(dotted name, part) in order: loose parameters (class token, positions), then children, containers opened."""
    parts: Steps = [(prefix + name, p) for name, p in module.named_parameters(recurse=False)]
    for name, child in module.named_children():
        if name in CONTAINERS and len(list(child.children())) > 1:
            parts += steps(child, f"{prefix}{name}.")
        else:
            parts.append((prefix + name, child))
    return parts


def by_pooling(parts: Steps) -> list[Steps]:
    """A group ends with a pooling."""
    groups: list[Steps] = [[]]
    for name, part in parts:
        groups[-1].append((name, part))
        if isinstance(part, nn.MaxPool2d):
            groups.append([])
    return groups


def by_size(parts: Steps, total: int) -> list[Steps]:
    """Loose parameters and leading plain layers are the stem; a later small step joins the block before it."""
    stem: Steps = []
    blocks: list[Steps] = []
    for name, part in parts:
        leading = not blocks and (isinstance(part, PLAIN) or all(isinstance(p, nn.Parameter) for _, p in stem))
        if leading or isinstance(part, nn.Parameter):
            stem.append((name, part))
        elif blocks and (size_of(part) < SMALL * total or ".transition" in name):
            blocks[-1].append((name, part))
        else:
            blocks.append([(name, part)])
    return [stem, *blocks]


def cam_layer(run: ForwardPass) -> MapLayer | None:
    """Where Grad-CAM looks at another map than that of the last block."""
    from torchvision.models import VGG, AlexNet, VisionTransformer

    network = run.network
    if isinstance(network, VisionTransformer):
        # the head reads the class token only, so behind the last block the gradients of the patches are zero
        last = list(dict(network.encoder.layers.named_children()))[-1]
        return run.layer_at(f"encoder.layers.{last}.ln_1")
    if isinstance(network, VGG | AlexNet):  # before the last pooling, as in the paper: four times the cells
        return run.layer_at(f"features.{len(network.features) - 2}")
    return None
