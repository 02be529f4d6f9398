"""The table in docs/backbones.md: what each backbone of params.yaml is, asked of the network itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import study
from .shared.core.files import atomic
from .train.params.backbone import Backbone as Choice

if TYPE_CHECKING:
    from .shared.model.backbones.base import Backbone

PAGE = Path("docs/backbones.md")
HEADING = """\
# Backbones

What `params.yaml` declares under `backbones`. Written by `python -m stages backbones`, which builds each network and
asks it; run that again after declaring another. Any further classification model of torchvision or timm can be
declared by its name.

Parameters are those without the head. Strategies speak of the blocks, in this order. A size is height × width in
pixels: the one that the weights were made for; most networks take others too. VGG and AlexNet end with the average of
their last map: the fully connected layers behind it are left away. Maps are what the blocks end with, as channels at a
share of the image's side.

| backbone | source: name | parameters | features | blocks | maps | input size | weights |
|---|---|---:|---:|---|---|---|---|
"""


def write(raw: Mapping[str, Any], page: Path = PAGE) -> None:
    """Builds every network that `backbones` declares, one after the other."""
    from .shared.model.backbones.build import build

    choices = {name: study.entry("backbones", name, raw) for name in raw["backbones"]}
    rows = [row(name, choice, build(choice.architecture)) for name, choice in choices.items()]
    with atomic(page) as partial:
        partial.write_text(HEADING + "".join(rows), encoding="utf-8")
    print(f"{page}: written.")


def row(name: str, choice: Choice, backbone: Backbone) -> str:
    count = sum(p.numel() for p in backbone.network.parameters())
    size = "{} × {}".format(*backbone.input_size) + (", no other" if backbone.fixed_size else "")
    maps = shortened([f"{layer.channels} at 1/{layer.stride}" for layer in backbone.map_layers.values()])
    blocks = shortened(list(backbone.blocks))
    return (
        f"| `{name}` | {choice.source}: {choice.name} | {count:,} | {backbone.feature_count} | {blocks} | {maps} "
        f"| {size} | `{choice.weights}` |\n"
    )


def shortened(names: list[str]) -> str:
    """All of them, or the first two and the last where there are many."""
    return ", ".join(names) if len(names) <= 6 else f"{names[0]}, {names[1]} … {names[-1]}"
