"""The recipe: loss, optimiser, schedule, and when to stop."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...shared.settings import Settings
from .types import Positive


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
