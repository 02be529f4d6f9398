"""The backbone of a name, and what the libraries know of it without building it."""

from __future__ import annotations

from ...core.errors import unknown
from ..recipe import Architecture
from .base import Backbone


def known(source: str) -> list[str]:
    """The names that a source defines."""
    if source == "lightbox":
        return ["small_cnn"]
    if source == "timm":
        from timm import list_models as timm_models

        return list(timm_models())
    from torchvision import models

    names: list[str] = models.list_models(module=models)
    return names


def tags(name: str) -> list[str]:
    """The tags of the pretrained weights that timm knows for one of its networks."""
    import timm

    return [tagged.partition(".")[2] for tagged in timm.list_pretrained(f"{name}.*")]


def only_size(architecture: Architecture) -> tuple[int, int] | None:
    """Height and width of the only images that a known network takes; None: it takes others too."""
    if architecture.source == "lightbox":
        return None
    if architecture.source == "timm":
        import timm

        published = timm.get_pretrained_cfg(architecture.name)
        if published is None:  # a network without published weights says nothing about its size
            return None
        size, fixed = published.input_size[1:], published.fixed_input_size
    else:
        from .torchvision import input_size

        size, fixed = input_size(architecture.name)
    return (size[0], size[1]) if fixed else None


def build(architecture: Architecture) -> Backbone:
    """The backbone with random weights.

    Raises:
        UserError: the source does not define that name; lists the nearest ones. Or it defines it, and it cannot be
            used as a backbone; says why.
    """
    name, _, tag = architecture.name.partition(".") if architecture.source == "timm" else (architecture.name, "", "")
    if name not in (names := known(architecture.source)):
        raise unknown(f"backbones: name for source {architecture.source!r}", name, names)
    if architecture.source == "lightbox":
        from .small_cnn import small_cnn

        return small_cnn()
    if architecture.source == "timm":
        from .timm import timm_backbone

        if tag and tag not in tags(name):
            raise unknown(f"backbones: tag of timm's {name!r}", tag, tags(name))
        return timm_backbone(architecture.name)
    from .torchvision import torchvision_backbone

    return torchvision_backbone(architecture.name)
