"""One entry of `backbones`: the network, and the weights it starts from."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator, model_validator

from ...shared.core.settings import Settings
from ...shared.model.recipe import Architecture, Decoder, Head, Reconstruction
from .types import Share

Kind = Literal["none", "imagenet", "file", "registry", "tag"]
FILES = (".safetensors", ".pth", ".pt")
REGISTERED = re.compile(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))")
TAG = re.compile(r"[A-Za-z0-9_]+")
VALID = (
    "none, imagenet, the path of a .safetensors, .pth or .pt file, a registered model (models:/name@alias or "
    "models:/name/version), nor a tag of timm's weights (such as augreg_in21k)"
)


class Backbone(Settings):
    """One entry of `backbones`."""

    source: Literal["lightbox", "torchvision", "timm"]
    """Who defines the network: this repository, torchvision, or timm (any of their classification models)."""
    name: str
    """The network's name there; where timm's weights come as a file, with their tag behind a dot: it decides the
    normalisation."""
    weights: str = "none"
    """none | imagenet | a tag of timm's weights | the path of a .safetensors, .pth or .pt file (DVC watches those in
    models/pretrained/) | models:/name@alias or models:/name/version, from the MLflow registry. DVC does not notice when
    an alias moves: `dvc repro -f train@<key>` trains again; a version never changes."""
    dropout: Share = 0.0
    """Share of the features dropped before the head, and before each of its linear layers."""
    head: Head = Head()
    """Layers of the head that classifies; by default a linear one."""
    decoder: Decoder = Decoder()
    """The head that segments: a U-Net's decoder."""
    reconstruction: Reconstruction = Reconstruction()
    """The head that draws the image again: an autoencoder's bottleneck and decoder."""

    @property
    def kind(self) -> Kind:
        """What `weights` is."""
        if self.weights == "none":
            return "none"
        if self.weights == "imagenet":
            return "imagenet"
        if self.weights.startswith("models:"):
            return "registry"
        return "file" if self.weights.endswith(FILES) else "tag"

    @property
    def architecture(self) -> Architecture:
        """The network; from timm the one that the tag's weights are made for."""
        name = f"{self.name}.{self.weights}" if self.kind == "tag" else self.name
        return Architecture(
            source=self.source,
            name=name,
            dropout=self.dropout,
            head=self.head,
            decoder=self.decoder,
            reconstruction=self.reconstruction,
        )

    @field_validator("weights")
    @classmethod
    def _known_kind(cls, value: str) -> str:
        if value.startswith("models:"):
            if not REGISTERED.fullmatch(value):
                raise ValueError(
                    f"{value!r} names no registered model. Valid: models:/name@alias, models:/name/version."
                )
        elif not value.endswith(FILES) and not TAG.fullmatch(value):
            raise ValueError(f"{value!r} is neither {VALID}.")
        return value

    @model_validator(mode="after")
    def _weights_exist(self) -> Backbone:
        if self.source == "lightbox" and self.weights == "imagenet":
            raise ValueError(
                f"there are no ImageNet weights for {self.name!r}. Give none or the path of a .safetensors file, "
                "such as models/pretrained/small_cnn_phantom.safetensors."
            )
        if self.source != "timm" and self.kind == "tag":
            raise ValueError(f"weights: {self.weights!r} is neither {VALID}; and tags are for source: timm.")
        if self.source == "timm" and "." in self.name and self.kind not in ("file", "registry"):
            name, _, tag = self.name.partition(".")
            raise ValueError(f"name: {self.name!r} contains a tag. Give name: {name} and weights: {tag}.")
        return self
