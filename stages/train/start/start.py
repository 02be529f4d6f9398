"""Which weights a training starts from: decided once, so that the registry is asked once."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...shared.core.errors import UserError
from ...shared.core.files import read_json, sha256
from ...shared.core.paths import find_input
from ...shared.model.backbones.base import Backbone
from ..params.backbone import Backbone as Choice
from . import sources
from .matching import fill


@dataclass(frozen=True)
class Start:
    """name: as recipe.json has it; an alias of the registry as the version it stood for.

    source, network: whose weights they are, and of which network (of timm's, with the tag of the weights).
    path, sha256: of the file, where the user or the registry names one; None: torchvision's, timm's or a package's own.
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
        name, path = fetch(choice.weights)
    elif choice.kind == "file":
        path = find_input(choice.weights)
    if path is None:
        return Start(name, choice.source, choice.architecture.name)
    if not path.is_file():
        raise UserError(
            f"params.yaml: backbones: weights: {path}: no such file. Put it there, or give none or imagenet."
        )
    recipe, chosen = path.with_name("recipe.json"), choice.architecture.name
    if (
        choice.source == "timm" and recipe.is_file()
    ):  # a model of this project; its weights' tag decided the normalisation
        trained = read_json(recipe)["architecture"]["name"]
        if trained != chosen and trained.partition(".")[0] == chosen.partition(".")[0]:
            raise UserError(
                f"params.yaml: backbones: name: {path} was trained as {trained}, and {chosen} would normalise its "
                f"images differently. Give name: {trained}."
            )
    return Start(name, choice.source, chosen, path, sha256(path))


@cache
def fetch(uri: str) -> tuple[str, Path]:
    """(models:/name/version, its weights file) of models:/name@alias. Within a process an alias stands for one version.

    MLflow is asked in a process of its own (see shared.tracking), so a training does not import it. An alias can move
    and DVC, which watches files and params, does not notice: the recipe keeps the version that it stood for.

    Raises:
        UserError: no such model, alias or version; no model of this project; the registry is out of reach.
    """
    command = [sys.executable, "-m", "stages.shared.tracking.registry", uri]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answer = json.loads(process.stdout.strip().rpartition("\n")[2])
    except ValueError:
        reason = f"code {process.returncode} and no answer. {process.stderr.strip()[-2000:]}"
        raise UserError(f"{uri}: asking MLflow ended with {reason}") from None
    if "error" in answer:
        raise UserError(answer["error"])
    print(f"{uri}: {answer['version']}", file=sys.stderr)
    return answer["version"], Path(answer["path"])


def load_weights(backbone: Backbone, start: Start) -> None:
    """Fill `backbone` in place.

    Raises:
        UserError: the weights cannot be loaded, or do not fit; lists what does not.
    """
    if start.path:
        fill(backbone, sources.read(start.path), start.name)
    elif start.name == "imagenet" and start.network in sources.PACKAGES:
        tensors = sources.packaged(start.network, backbone.network.state_dict())
        fill(backbone, tensors, f"ImageNet weights of {start.network}")
    elif start.source == "timm":
        fill(backbone, sources.from_timm(start.network), f"timm's {start.name} weights of {start.network}")
    else:
        fill(backbone, sources.imagenet(start.network), f"ImageNet weights of {start.network}")
