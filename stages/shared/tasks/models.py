"""A model of a task: new, or as it was trained."""

from __future__ import annotations

from pathlib import Path

import torch

from ..core.errors import UserError, unknown
from ..model.backbones.build import build
from ..model.model import Model
from ..model.recipe import Architecture, Recipe
from ..model.store import load_weights
from . import TASKS


def create(task: str, architecture: Architecture, outputs: int) -> Model:
    """With random weights from torch's current seed, the backbone's before the head's. Channels last: the layout images
    have, and the faster one."""
    backbone = build(architecture)
    return TASKS[task].model(backbone, architecture, outputs).to(memory_format=torch.channels_last)


def load(folder: Path) -> tuple[Model, Recipe]:
    """The model of models/<key> as trained, in eval mode on the CPU.

    Raises:
        UserError: a file is missing or damaged, the weights are not those of the recipe, its task is not known, or the
            task needs a decision and the recipe has none.
    """
    recipe = Recipe.read(folder)
    if recipe.task not in TASKS:
        raise unknown(f"{folder}/recipe.json: task", recipe.task, TASKS)
    if TASKS[recipe.task].DECIDES and recipe.decision is None:
        raise UserError(
            f"{folder}/recipe.json: has no `decision`, the threshold of its masks; an earlier version wrote it. "
            f"Run `dvc repro -f train@{recipe.key}`."
        )
    model = create(recipe.task, recipe.architecture, len(recipe.classes))
    load_weights(model, recipe, folder)
    return model.eval(), recipe
