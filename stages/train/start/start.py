"""Which weights a training starts from: resolved once, so that the registry is asked once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...shared.core.errors import UserError
from ...shared.core.files import read_json, sha256
from ...shared.core.paths import find_input
from ...shared.model.backbones import Backbone
from ..params import Backbone as Choice
from . import sources
from .matching import fill
from .registered import fetch


@dataclass(frozen=True)
class Start:
    """name: as recipe.json has it; an alias of the registry as the version it stood for.

    source, network: whose weights they are, and of which network (of timm's, with the tag of the weights).
    path, sha256: of the file, where the user or the registry names one; None: torchvision's or timm's own.
    """

    name: str
    source: str
    network: str
    path: Path | None = None
    sha256: str | None = None


def find_start(choice: Choice) -> Start | None:
    """None: random weights.

    Raises:
        UserError: the registry has no such model, there is no such file, or it was trained with another normalisation.
    """
    if choice.weights == "none":
        return None
    name, path = choice.weights, None
    if choice.kind == "registry":
        registered = fetch(choice.weights)
        name, path = registered.version, registered.path
    elif choice.kind == "file":
        path = find_input(choice.weights)
    if path is None:
        return Start(name, choice.source, choice.architecture.name)
    if not path.is_file():
        raise UserError(
            f"params.yaml: backbones: weights: {path}: no such file. Put it there, or give none or imagenet."
        )
    check_same_input(path, choice)
    return Start(name, choice.source, choice.architecture.name, path, sha256(path))


def check_same_input(path: Path, choice: Choice) -> None:
    """A model of this project says in its recipe which weights it started from, and so which normalisation it knows."""
    recipe = path.with_name("recipe.json")
    if choice.source != "timm" or not recipe.is_file():
        return
    trained, named = read_json(recipe)["architecture"]["name"], choice.architecture.name
    if trained != named and trained.partition(".")[0] == named.partition(".")[0]:
        raise UserError(
            f"params.yaml: backbones: name: {path} was trained as {trained}, and {named} would normalise its images "
            f"otherwise. Give name: {trained}."
        )


def load_weights(backbone: Backbone, start: Start) -> None:
    """Fill `backbone` in place.

    Raises:
        UserError: the weights are not to be had, or do not fit; lists what does not.
    """
    if start.path:
        fill(backbone, sources.read(start.path), start.name)
    elif start.source == "timm":
        fill(backbone, sources.from_timm(start.network), f"timm's {start.name} weights of {start.network}")
    else:
        fill(backbone, sources.imagenet(start.network), f"ImageNet weights of {start.network}")
