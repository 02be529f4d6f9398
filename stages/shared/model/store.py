"""models/<key> on disk: weights.safetensors, and recipe.json with its checksum."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from ..core.errors import UserError
from ..core.files import atomic, sha256
from ..core.matrix import repro
from .model import Model
from .recipe import WEIGHTS, Recipe


def save(model: Model, recipe: Recipe, folder: Path) -> None:
    """Writes the weights, then the recipe with their checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS
    tensors = {name: t.contiguous().cpu() for name, t in model.state_dict().items()}
    with atomic(path) as partial:
        partial.write_bytes(to_bytes(tensors))
    recipe.model_copy(update={"weights_sha256": sha256(path)}).write(folder)


def load_weights(model: Model, recipe: Recipe, folder: Path) -> None:
    """Puts the saved weights into `model`, which was created from `recipe`.

    Raises:
        UserError: the file is missing or damaged, or its weights are not those of the recipe.
    """
    path = folder / WEIGHTS
    remedy = f"Run {repro('train', recipe.key, force=True)}."
    if not path.exists():
        raise UserError(f"{path}: missing. {remedy}")
    if sha256(path) != recipe.weights_sha256:
        raise UserError(f"{path}: not the weights that {folder}/recipe.json describes (checksum differs). {remedy}")
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{path}: does not fit {recipe.architecture.name} ({error}). {remedy}") from None
