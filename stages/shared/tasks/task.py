"""What a task provides. Stages ask `TASKS[name]` and never ask which task it is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd
from torch import nn

from ..arrays.arrays import Arrays
from ..model.backbones import Backbone
from ..model.model import Classifier
from ..model.recipe import Architecture


class Task(Protocol):
    """A module with these functions is a task."""

    def head(self, backbone: Backbone, settings: Architecture, classes: int) -> nn.Module:
        """What is put on the backbone, with random weights from torch's current seed."""

    def target(self, arrays: Arrays, rows: np.ndarray) -> np.ndarray:
        """What the model should give for these rows, one entry per row."""

    def predict(self, model: Classifier, arrays: Arrays, rows: np.ndarray) -> pd.DataFrame:
        """The prediction table of these rows: path, label, patient, split, and what the model says."""

    def answer(self, model: Classifier, images: np.ndarray, classes: list[str]) -> pd.DataFrame:
        """What a server says about uint8 images N×H×W×C, one row per image."""
