"""One entry of `strategies`: who learns, when, and how fast."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...shared.settings import Settings
from .types import Positive


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
