"""Any torchvision classification model as a backbone: head taken off, cut into stages by one rule.

The rule: open the containers torchvision keeps its steps in (`features`, `encoder.layers`, …); plain stacks (VGG,
AlexNet) are cut after each pooling; elsewhere the plain layers that come first are the stem, every larger step is a
stage, and small ones (norms, transitions) go with the stage before them.
"""

from __future__ import annotations

import torch
from torch import nn

from ..errors import UserError
from .base import Backbone, Normalisation

IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CONTAINERS = ("features", "encoder", "layers", "trunk_output", "blocks")
SMALL = 0.02  # share of the parameters below which a step is no stage of its own
PLAIN = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d)

Steps = list[tuple[str, nn.Module | nn.Parameter]]


def torchvision_backbone(name: str) -> Backbone:
    """Raises UserError for a network without a linear head."""
    from torchvision import models

    network = models.get_model(name, weights=None, **({"init_weights": False} if name in WITH_AUXILIARY else {}))
    head, features = take_head_off(network, name)
    without_inplace(network)
    cam, skip = cam_layer(network)
    return Backbone(network, cut(network), features, IMAGENET, cam, skip, removed_head=head)


WITH_AUXILIARY = ("googlenet", "inception_v3")


def take_head_off(network: nn.Module, name: str) -> tuple[str, int]:
    """Replace the last Linear by Identity; returns its dotted name and the number of features that reach it."""
    linear = [n for n, m in network.named_modules() if isinstance(m, nn.Linear)]
    if not linear or getattr(network, "aux_logits", False):
        raise UserError(
            f"backbones: torchvision's {name!r} has no single linear head to replace (it has auxiliary outputs or a "
            "convolutional head). Choose another, such as resnet50, densenet121 or efficientnet_b0."
        )
    owner_name, _, attribute = linear[-1].rpartition(".")
    owner = network.get_submodule(owner_name)
    features: int = getattr(owner, attribute).in_features
    setattr(owner, attribute, nn.Identity())
    return linear[-1], features


def size(part: nn.Module | nn.Parameter) -> int:
    return part.numel() if isinstance(part, nn.Parameter) else sum(p.numel() for p in part.parameters())


def cut(network: nn.Module) -> dict[str, list[str]]:
    """Stage -> dotted names of its parts; see the module's docstring for the rule."""
    found = steps(network)
    plain = all(isinstance(m, PLAIN) for n, m in found if n.startswith("features."))
    groups = by_pooling(found) if plain and hasattr(network, "features") else by_size(found, size(network))
    groups = [[n for n, m in g if size(m)] for g in groups]
    groups = [g for g in groups if g]
    return {"stem": groups[0]} | {f"stage{i}": g for i, g in enumerate(groups[1:], start=1)}


def steps(module: nn.Module, prefix: str = "") -> Steps:
    """(dotted name, part) in order: loose parameters (class token, positions), then children, containers opened."""
    found: Steps = [(prefix + n, p) for n, p in module.named_parameters(recurse=False)]
    for name, child in module.named_children():
        if name in CONTAINERS and len(list(child.children())) > 1:
            found += steps(child, f"{prefix}{name}.")
        else:
            found.append((prefix + name, child))
    return found


def by_pooling(found: Steps) -> list[Steps]:
    """A stage ends with a pooling; fully connected layers behind the last one are a stage too."""
    groups: list[Steps] = [[]]
    for name, part in found:
        groups[-1].append((name, part))
        if isinstance(part, nn.MaxPool2d):
            groups.append([])
    return groups


def by_size(found: Steps, total: int) -> list[Steps]:
    """Loose parameters and leading plain layers are the stem; a later small step joins the stage before it."""
    groups: list[Steps] = [[]]
    for name, part in found:
        in_stem = len(groups) == 1
        plain = isinstance(part, (*PLAIN, nn.Parameter))
        if isinstance(part, nn.Parameter):
            groups[0].append((name, part))
        elif (in_stem and (plain or not any(isinstance(m, nn.Module) for _, m in groups[0]))) or (
            not in_stem and size(part) < SMALL * total
        ):
            groups[-1].append((name, part))
        else:
            groups.append([(name, part)])
    return groups


def cam_layer(network: nn.Module) -> tuple[str, int]:
    """(dotted name, leading tokens to skip): the last module that still sees a map of the image."""
    from torchvision.models import VisionTransformer

    if isinstance(network, VisionTransformer):
        # the head reads the class token only, so behind the last block the gradients of the patches are zero
        last = list(dict(network.encoder.layers.named_children()))[-1]
        return f"encoder.layers.{last}.ln_1", 1
    return last_map(network), 0


def last_map(network: nn.Module) -> str:
    """The last module to give a B×C×H×W map with more than one cell, found by running a blank image through."""
    names = {module: name for name, module in network.named_modules()}
    seen: list[nn.Module] = []

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.dim() == 4 and output.shape[2] * output.shape[3] > 1:
            seen.append(module)

    hooks = [m.register_forward_hook(note) for m in network.modules()]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, 224, 224))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return names[next(m for m in reversed(seen) if not isinstance(m, nn.AdaptiveAvgPool2d | nn.ReLU | nn.Dropout))]


def without_inplace(network: nn.Module) -> None:
    """In-place activations overwrite what Grad-CAM's hooks hold."""
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False
