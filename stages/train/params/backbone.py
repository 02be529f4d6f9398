"""One entry of `backbones`: the network, and the weights it starts from."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator, model_validator

from ...shared.settings import Settings
from .types import Share


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
