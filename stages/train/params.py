"""What a training depends on: the `train` section, and one backbone, strategy and sample of their tables."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ..shared.settings import Settings

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Backbone(Settings):
    """One entry of `backbones`."""

    source: Literal["lightbox", "torchvision"]
    """Who defines the network: this repository, or torchvision (any of its classification models)."""
    name: str
    """The network's name there."""
    weights: str = "none"
    """none | imagenet | the path of a .safetensors file (DVC watches those in models/pretrained/)."""
    dropout: Share = 0.0
    """Share of the features dropped before the head."""

    @field_validator("weights")
    @classmethod
    def _known_kind(cls, value: str) -> str:
        if value not in ("none", "imagenet") and not value.endswith(".safetensors"):
            raise ValueError(f"{value!r} is neither none, imagenet, nor the path of a .safetensors file.")
        return value

    @model_validator(mode="after")
    def _imagenet_exists(self) -> Backbone:
        if self.source == "lightbox" and self.weights == "imagenet":
            raise ValueError(
                f"there are no ImageNet weights for {self.name!r}. Give none or the path of a .safetensors file, "
                "such as models/pretrained/small_cnn_phantom.safetensors."
            )
        return self


class FromScratch(Settings):
    """Random weights; everything learns at full rate."""

    plan: Literal["from_scratch"]
    """Everything learns, from random weights."""


class FeatureExtraction(Settings):
    """The backbone stays as it came; only the head learns."""

    plan: Literal["feature_extraction"]
    """Only the head learns."""
    head_lr: Positive = 1.0
    """Its learning rate, as a multiple of train.optimizer.lr: a linear head alone bears more than a whole network."""


class FineTune(Settings):
    """The head and the last stages learn."""

    plan: Literal["fine_tune"]
    """The head and the last stages of the backbone learn."""
    last_stages: Annotated[int, Field(ge=1)] | Literal["all"] = 1
    """How many stages, counted from the head."""
    backbone_lr: Positive = 0.1
    """Their learning rate, as a multiple of train.optimizer.lr."""


Strategy = Annotated[FromScratch | FeatureExtraction | FineTune, Field(discriminator="plan")]


class Sample(Settings):
    """One entry of `samples`: which part of the training patients, which fold is validation, which seed."""

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training patients. With one seed, smaller shares lie inside larger ones."""
    fold: Annotated[int, Field(ge=0)] = 0
    """The fold that validates; the other folds train."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Added to the global seed: repeats of a training."""


class Adam(Settings):
    name: Literal["adam"] = "adam"
    """Kingma & Ba 2015."""
    lr: Positive = 1e-3
    """Learning rate of the head; a strategy scales it for the backbone."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """L2 penalty."""


class EarlyStopping(Settings):
    monitor: Literal["val_loss", "val_accuracy", "val_auroc"] = "val_loss"
    """What decides when to stop, and which epoch's weights are the best."""
    patience: Annotated[int, Field(ge=1)] | None = 5
    """Epochs without improvement before it stops; null: never stop early."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """Smaller gains are none."""

    @property
    def mode(self) -> Literal["min", "max"]:
        return "min" if self.monitor == "val_loss" else "max"


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
