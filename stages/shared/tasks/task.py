"""What a task provides. Stages ask `TASKS[name]` and never ask which task it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import pandas as pd
from torch import Tensor

from ..arrays.arrays import Arrays
from ..core import metadata
from ..core.settings import Settings
from ..model.backbones.base import Backbone
from ..model.model import Model
from ..model.recipe import Architecture, Decision, Recipe

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


class Loss(Protocol):
    """An nn.Module, so that what it holds follows the model to its device."""

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """float32 B, one value per image, not reduced; fewer where images of the batch do not count."""

    def soft(self, targets: Tensor) -> Tensor:
        """The targets as numbers that can be mixed with one another, and given to the loss."""


@dataclass(frozen=True)
class Predictions:
    """table: one row per image: path, label, patient, group (what the split keeps together: patients joined by
    duplicates), split (test, or val for all others), metadata, and what the task predicts. maps: what it predicts pixel
    by pixel, n×…, in the order of the rows; None: nothing."""

    table: pd.DataFrame
    maps: np.ndarray | None = None


class Task(Protocol):
    """A module with these names is a task. Shapes: N images of the arrays, K outputs of the model."""

    LOSSES: Mapping[str, Callable[..., Tensor]]
    """By name in params.yaml."""
    MIXES: bool
    """Whether training images may be mixed with one another (train.mix)."""
    REQUIREMENTS: Sequence[str]
    """Packages that its models need beside torch, to be served."""

    REMEMBERS: bool
    """Whether a head may be a memory, fitted in one pass (shared/model/memories)."""

    DECIDES: bool
    """Whether its models need a decision (recipe.json)."""

    def model(self, backbone: Backbone, settings: Architecture, outputs: int) -> Model:
        """With a head that has random weights from torch's current seed. Raises UserError for a backbone that the task
        cannot use."""

    def outputs(self, arrays: Arrays) -> list[str]:
        """Names of the model's outputs, K."""

    def usable(self, index: pd.DataFrame) -> np.ndarray:
        """N booleans: the images that can be judged."""

    def learnable(self, index: pd.DataFrame) -> np.ndarray:
        """N booleans: the usable images that a model may learn from."""

    def check_validation(self, arrays: Arrays, rows: np.ndarray) -> None:
        """`rows`: the validation images. Raises UserError where they cannot tell how good a model is."""

    def target(self, arrays: Arrays) -> np.ndarray:
        """What the model should give, one entry per image: N numbers, or N×H×W, which may be mapped from a file."""

    def losses(
        self, settings: Settings, weights: Literal["balanced", "none"], arrays: Arrays, rows: np.ndarray
    ) -> Loss:
        """The loss that `settings` name. `rows`: all that are trained on, for the balance between the classes."""

    def watch(self, outputs: int) -> MetricCollection:
        """Metrics by their logged names (val_…), updated with (outputs, targets), each better when it is higher: any of
        them, and val_loss, may stop a training."""

    def predict(self, model: Model, arrays: Arrays, rows: np.ndarray) -> Predictions:
        """For these rows."""

    def decide(self, model: Model, arrays: Arrays, rows: np.ndarray) -> Decision | None:
        """What a trained model's answers need beside its weights, chosen on the validation images, `rows`."""

    def answer(self, model: Model, images: np.ndarray, recipe: Recipe) -> pd.DataFrame:
        """What a server says about uint8 images N×H×W×C, one row per image."""

    def columns(self, classes: list[str]) -> dict[str, type]:
        """Of `answer`: their names, and str or float."""


def described(index: pd.DataFrame) -> pd.DataFrame:
    """The columns of a prediction table that say which images they are."""
    table = index[["path", "label", "patient", "group"]].reset_index(drop=True)
    table["split"] = np.where(index["split"] == "test", "test", "val")
    return table.join(index[metadata.columns(index.columns)].reset_index(drop=True))
