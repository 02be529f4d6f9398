"""What a task provides. Stages ask `TASKS[name]` and never ask which task it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import pandas as pd
from torch import Tensor, nn

from ..arrays.arrays import Arrays
from ..core.settings import Settings
from ..model.backbones.base import Backbone
from ..model.model import Classifier
from ..model.recipe import Architecture

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


class Loss(Protocol):
    """An nn.Module, so that what it holds follows the model to its device."""

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """float32 B, one value per image, not reduced."""

    def soft(self, targets: Tensor) -> Tensor:
        """The targets as numbers that can be mixed with one another, and given to the loss."""


class Task(Protocol):
    """A module with these functions is a task."""

    def head(self, backbone: Backbone, settings: Architecture, classes: int) -> nn.Module:
        """What is put on the backbone, with random weights from torch's current seed."""

    def target(self, arrays: Arrays, rows: np.ndarray) -> np.ndarray:
        """What the model should give for these rows, one entry per row."""

    def losses(
        self, settings: Settings, weights: Literal["balanced", "none"], targets: np.ndarray, classes: int
    ) -> Loss:
        """The loss that `settings` name. `targets`: all that are trained on, for the balance between them."""

    def watch(self, classes: int) -> MetricCollection:
        """Metrics by their logged names (val_…), updated with (outputs, targets), each better when it is higher: any of
        them, and val_loss, may stop a training."""

    def predict(self, model: Classifier, arrays: Arrays, rows: np.ndarray) -> pd.DataFrame:
        """The prediction table of these rows: path, label, patient, group, split, and what the model predicts."""

    def answer(self, model: Classifier, images: np.ndarray, classes: list[str]) -> pd.DataFrame:
        """What a server says about uint8 images N×H×W×C, one row per image."""

    def columns(self, classes: list[str]) -> dict[str, type]:
        """Of `answer`: their names, and str or float."""
