"""Where a training runs: Lightning's own settings, by Lightning's names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ...shared.settings import Settings


class Trainer(Settings):
    """Handed to lightning.pytorch.Trainer as they are."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """What computes; auto: the accelerator there is, else the CPU."""
    devices: Annotated[int, Field(ge=1)] | Annotated[list[int], Field(min_length=1)] = 1
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

    @field_validator("devices")
    @classmethod
    def _each_once(cls, devices: int | list[int]) -> int | list[int]:
        if isinstance(devices, list) and (min(devices) < 0 or len(set(devices)) < len(devices)):
            raise ValueError(f"{devices} must name each device once, counted from 0; or give their number.")
        return devices

    @model_validator(mode="after")
    def _several_need_ddp(self) -> Trainer:
        if self.world > 1 and self.strategy != "ddp":
            raise ValueError(f"{self.world} processes train one model with strategy: ddp; found {self.strategy!r}.")
        return self
