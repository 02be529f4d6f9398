"""One entry of `strategies`: who learns, when, and how fast.

Learning rates are multiples of train.optimizer.lr. Blocks are counted from the head: the last block of the backbone is
the first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, model_validator

from ...shared.core.settings import Settings
from ...shared.model.memories.settings import MemorySettings
from .types import is_number

Count = Annotated[int, Field(ge=1)]
Decay = Annotated[float, Field(gt=0, le=1)]


def whole_or_all(value: Any) -> Any:
    if value == "all" or (is_number(value, int) and value >= 1):
        return value if value == "all" else int(value)
    raise ValueError(f"{value!r} is no number of blocks. Give a whole number from 1, or all.")


def whole_or_share(value: Any) -> Any:
    if is_number(value, (int, float)) and (0 < value < 1 or (1 <= value < math.inf and value == int(value))):
        return float(value) if value < 1 else int(value)
    raise ValueError(f"{value!r} is neither a whole number of epochs, from 1, nor a share between 0 and 1.")


Blocks = Annotated[int | Literal["all"], BeforeValidator(whole_or_all)]
Epochs = Annotated[int | float, BeforeValidator(whole_or_share)]


class Common(Settings):
    """What every strategy's settings share."""

    train: Annotated[Mapping[str, Any], Field(exclude=True)] = {}
    """Settings of the section train that this strategy has otherwise: {optimizer: {lr: 0.003}}. `python -m stages tune`
    writes what it found here, so that no other strategy trains again."""

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "last_stages" in values:
            raise ValueError("last_stages is called last_blocks now. Rename the key; its value may stay.")
        return values


class FromScratch(Common):
    plan: Literal["from_scratch"]
    """Everything learns at full rate, from random weights."""


class FeatureExtraction(Common):
    plan: Literal["feature_extraction"]
    """Only the head learns; the backbone keeps its pretrained weights."""
    head_lr: PositiveFloat = 1.0
    """Its learning rate, as a multiple of train.optimizer.lr. A linear head alone can take a higher rate than a whole
    network."""


class FineTune(Common):
    plan: Literal["fine_tune"]
    """The head and the last blocks of the backbone learn."""
    last_blocks: Blocks = 1
    """How many blocks, counted from the head."""
    backbone_lr: PositiveFloat = 0.1
    """Their learning rate, as a multiple of train.optimizer.lr."""


class ProgressiveUnfreezing(Common):
    plan: Literal["progressive_unfreezing"]
    """The head learns first; then one block after the other joins it, from the last to the stem (ULMFiT, Howard & Ruder
    2018)."""
    every: Count | None = None
    """Another block joins after every so many epochs. Give this or `at`."""
    at: list[NonNegativeInt] | None = None
    """After how many epochs each block joins, counted from the head: [2, 4, 7]. The same number twice: two blocks join
    at once. Blocks beyond the list stay frozen."""
    last_blocks: Blocks = "all"
    """How many blocks may join under `every`; one whose turn comes after the last epoch never does."""
    backbone_lr: PositiveFloat = 0.1
    """Learning rate of the last block, as a multiple of train.optimizer.lr."""
    decay: Decay = 1.0
    """Each block's learning rate, as a multiple of that of the block behind it, the one nearer to the head."""

    @model_validator(mode="after")
    def _one_schedule(self) -> ProgressiveUnfreezing:
        if (self.every is None) == (self.at is None):
            raise ValueError(
                "progressive_unfreezing needs either every (epochs between two blocks, such as every: 2) or at "
                f"(one epoch a block, such as at: [2, 4, 7]); found every: {self.every}, at: {self.at}."
            )
        if self.at is not None and (not self.at or self.at != sorted(self.at)):
            raise ValueError(
                f"at: {self.at} must name at least one epoch, and no block may join before one nearer to the head."
            )
        if self.at is not None and self.last_blocks != "all":
            raise ValueError(f"at already says how many blocks join: take last_blocks: {self.last_blocks} out.")
        return self


class DiscriminativeLR(Common):
    plan: Literal["discriminative_lr"]
    """Everything learns, the slower the further from the head (ULMFiT, Howard & Ruder 2018; timm's layer decay)."""
    backbone_lr: PositiveFloat = 0.5
    """Learning rate of the last block, as a multiple of train.optimizer.lr. Equal to `decay`, the rates are those of
    timm's and BEiT's layer decay."""
    decay: Decay = 0.5
    """Each block's learning rate, as a multiple of that of the block behind it. 0.5 suits the four to six blocks of a
    convolutional network; where each of twelve transformer blocks is a block, 0.75 to 0.9."""
    frozen_epochs: NonNegativeInt = 0
    """Epochs in which the head learns alone, before the rest joins it; fastai's habit is 1."""


class LinearProbeFineTune(Common):
    plan: Literal["linear_probe_fine_tune"]
    """First the head learns alone; then the last blocks learn with it (LP-FT, Kumar et al. 2022). A head that already
    fits keeps the first gradients from distorting the features."""
    probe_epochs: Epochs = 0.3
    """Epochs of the first part: a whole number, or below 1 a share of train.epochs."""
    head_lr: PositiveFloat = 1.0
    """Learning rate of the head while it is alone, as a multiple of train.optimizer.lr."""
    last_blocks: Blocks = "all"
    """How many blocks learn in the second part, counted from the head."""
    backbone_lr: PositiveFloat = 0.1
    """Learning rate of head and last blocks in the second part, as a multiple of train.optimizer.lr."""


Strategy = Annotated[
    FromScratch
    | FeatureExtraction
    | FineTune
    | ProgressiveUnfreezing
    | DiscriminativeLR
    | LinearProbeFineTune
    | MemorySettings,
    Field(discriminator="plan"),
]
