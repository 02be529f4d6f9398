"""What a training depends on: the `train` section, and one backbone, strategy and sample of their tables."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ...shared.settings import Settings
from .backbone import Backbone
from .recipe import Adam, EarlyStopping
from .sample import Sample
from .strategies import FeatureExtraction, FineTune, FromScratch, Strategy

__all__ = ["Backbone", "EarlyStopping", "FeatureExtraction", "FineTune", "FromScratch", "Params", "Sample", "Strategy"]


class Params(Settings):
    """The `train` section, and what it takes from outside it."""

    task: Literal["classification"]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    backbone: Backbone
    strategy: Strategy
    sample: Sample

    epochs: Annotated[int, Field(ge=1)]
    """At most so many."""
    min_steps_per_epoch: Annotated[int, Field(ge=1)] = 1
    """A small sample is passed through several times an epoch until it has this many steps, so that a comparison of
    sample sizes compares images, not optimiser steps."""
    batch_size: Annotated[int, Field(ge=2)]
    """Images a step."""
    optimizer: Adam = Adam()
    """Adam."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the learning rates: as they are, or falling to nothing over `epochs` along half a cosine (SGDR, Loshchilov &
    Hutter 2017, without restarts), which lets BatchNorm's statistics catch up with the weights."""
    class_weights: Literal["balanced", "none"] = "balanced"
    """balanced: each class weighs N / (K · N_class) in the loss, as scikit-learn has it."""
    early_stopping: EarlyStopping = EarlyStopping()
    """When to stop, and what is best."""
    augment: list[str | dict[str, Any]] = []
    """albumentations transforms by name, applied to training images in this order."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning's name for it. The mixed ones are for GPUs; 32-true is the reference."""

    @model_validator(mode="after")
    def _something_to_transfer(self) -> Params:
        if self.strategy.plan != "from_scratch" and self.backbone.weights == "none":
            raise ValueError(
                f"strategy {self.strategy.plan!r} starts from pretrained weights, and backbone {self.backbone.name!r} "
                "has weights: none. Give it weights (imagenet, or a .safetensors file), or take it out of the matrix."
            )
        return self
