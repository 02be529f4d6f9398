"""Checks of a training's settings that only the libraries can make; they take seconds."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from ..shared.core.errors import UserError, unknown
from ..shared.model.recipe import Architecture
from .params import Params

WATCHED = Path("models/pretrained")  # a dependency of every training in dvc.yaml


def check_libraries(params: Params) -> None:
    """The network's name, tags of weights, registered models (each is fetched), transforms and their arguments, and
    the plan, which may name blocks or epochs that do not exist.

    Raises:
        UserError: the first fault; the message begins with the field of Params.
    """
    from ..shared.arrays.transforms import Transform
    from ..shared.model.backbones.build import known, only_size, tags
    from ..shared.tasks import TASKS
    from .plan.strategies import make_plan
    from .start.sources import PACKAGES
    from .start.start import fetch

    Transform(params.augment, "augment")
    task = TASKS[params.task]
    if params.loss.name not in task.LOSSES:
        raise unknown(f"loss.name (task: {params.task})", params.loss.name, task.LOSSES)
    if params.mix and not task.MIXES:
        raise UserError(f"mix: {params.mix.name}: images of task: {params.task} cannot be mixed. Set mix: null.")
    monitors = ["val_loss", *task.watch(2)]
    if params.early_stopping.monitor not in monitors:
        raise unknown(f"early_stopping.monitor (task: {params.task})", params.early_stopping.monitor, monitors)
    backbone = params.backbone
    network, _, tag = backbone.name.partition(".") if backbone.source == "timm" else (backbone.name, "", "")
    if network not in known(backbone.source):
        raise unknown("backbone.name", network, known(backbone.source))
    if tag and tag not in tags(network):
        raise unknown(f"backbone.name: tag of {network!r}", tag, tags(network))
    if backbone.kind == "tag" and backbone.weights not in tags(network):
        raise unknown("backbone.weights", backbone.weights, tags(network))
    if backbone.source == "timm" and backbone.kind == "imagenet" and not tags(network):
        raise UserError(
            f"backbone.weights: imagenet: timm has no weights for {network!r}. Give none or the path of a file."
        )
    if backbone.kind == "imagenet" and backbone.name in PACKAGES:
        try:
            PACKAGES[backbone.name].path  # noqa: B018 (asked whether it is installed)
        except UserError as error:
            raise UserError(f"backbone.{error}") from None
    if backbone.kind == "registry":
        try:
            fetch(backbone.weights)
        except UserError as error:
            raise UserError(f"backbone.weights: {error}") from None
    if backbone.kind == "file" and WATCHED not in Path(backbone.weights).parents:
        _note_unwatched(backbone.weights)
    if params.resize and (size := only_size(backbone.architecture)):
        raise UserError(
            f"resize: {backbone.name} takes images of {size[0]}×{size[1]} alone. Set resize: null, or take another "
            "backbone."
        )
    if params.architecture.memory and not task.REMEMBERS:
        raise UserError(
            f"strategy.plan: {params.strategy.plan} is for tasks whose models remember images, such as anomaly, and "
            f"task is {params.task}. Take one in which a model learns: from_scratch, feature_extraction, fine_tune, …"
        )
    make_plan(params.strategy, _blocks(params.task, params.architecture.model_dump_json()), params.epochs)


@cache  # printed once for all members of the matrix
def _note_unwatched(weights: str) -> None:
    print(
        f"note: params.yaml: backbones: {weights} lies outside {WATCHED}, the folder that DVC watches. When the "
        "file changes, train again with `dvc repro -f train@…`, or keep it there under a name of its own.",
        file=sys.stderr,
    )


@cache
def _blocks(task: str, settings: str) -> tuple[str, ...]:
    """Of the backbone, in a model of the task. `settings`: the architecture's, as JSON."""
    import torch

    from ..shared.tasks.models import create

    architecture = Architecture.model_validate_json(settings)
    try:
        try:
            with torch.device("meta"):  # its shape alone, without memory or random numbers
                return tuple(create(task, architecture, outputs=2).backbone.blocks)
        except (NotImplementedError, RuntimeError):  # it computes with its weights while it is built
            return tuple(create(task, architecture, outputs=2).backbone.blocks)
    except UserError as error:
        raise UserError(f"backbone.name: {str(error).removeprefix('backbones: ')}") from None
