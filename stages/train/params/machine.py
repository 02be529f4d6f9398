"""Where a training runs, and what it may take there."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, model_validator

from ...shared.core.settings import Settings
from .types import is_number


class Cache(Settings):
    """Of the outputs of a backbone's frozen blocks, for each image."""

    enabled: bool = True
    """false: the frozen blocks are computed in every epoch, and every epoch shows new augmentations."""
    views: Annotated[int, Field(ge=1)] = 4
    """How many augmented views of an image a training with frozen blocks sees."""
    max_gb: PositiveFloat = 8.0
    """Most that all cached outputs may take on the disk, gigabytes; the least recently used make room."""


def number_or_which(value: Any) -> Any:
    if is_number(value, int) and value >= 1:
        return int(value)
    which = isinstance(value, list) and value and all(is_number(device, int) and device >= 0 for device in value)
    if not which or len(set(value)) < len(value):
        raise ValueError(
            f"{value!r} says neither how many devices nor which. Give their number, from 1, or each one's own, counted "
            "from 0 and named once: [0, 2]."
        )
    return [int(device) for device in value]


class Trainer(Settings):
    """Handed to lightning.pytorch.Trainer as they are."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """What computes; auto: the accelerator there is, else the CPU."""
    devices: Annotated[int | list[int], BeforeValidator(number_or_which)] = 1
    """How many devices on each node, or which ones."""
    num_nodes: Annotated[int, Field(ge=1)] = 1
    """How many machines."""
    strategy: Literal["auto", "ddp"] = "auto"
    """ddp: every device has a copy of the model and a part of each batch."""
    sync_batchnorm: bool = False
    """Several devices: BatchNorm's statistics over the whole batch (GPUs only)."""

    @property
    def world(self) -> int:
        """Processes that train one model together."""
        return self.num_nodes * (self.devices if isinstance(self.devices, int) else len(self.devices))

    @model_validator(mode="after")
    def _several_need_ddp(self) -> Trainer:
        if self.world > 1 and self.strategy != "ddp":
            raise ValueError(
                f"{self.world} processes train one model with strategy: ddp; found {self.strategy!r}. Set "
                "train.trainer.strategy: ddp."
            )
        return self
