"""Classification: each image belongs to exactly one class.

Shapes: B images of a batch, N images, F features, K classes (the first is the healthy one).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..arrays.arrays import Arrays
from ..model.backbones import Backbone
from ..model.model import Classifier
from ..model.predict import outputs
from ..model.recipe import Architecture


def head(backbone: Backbone, settings: Architecture, classes: int) -> nn.Module:
    """B×F -> logits B×K. Dropout and a linear layer; before them, for each hidden width: dropout, linear, norm,
    activation."""
    layers: list[nn.Module] = []
    features = backbone.features
    for width in settings.head.hidden:
        layers += [nn.Dropout(settings.dropout), nn.Linear(features, width)]
        layers += [nn.BatchNorm1d(width)] if settings.head.norm == "batch" else []
        layers += [nn.ReLU() if settings.head.activation == "relu" else nn.GELU()]
        features = width
    return nn.Sequential(*layers, nn.Dropout(settings.dropout), nn.Linear(features, classes))


def target(arrays: Arrays, rows: np.ndarray) -> np.ndarray:
    """int64: the position of each row's label in `arrays.classes`."""
    targets: np.ndarray = arrays.targets[rows]
    return targets


def probabilities(model: Classifier, images: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """float64 n×K, each row sums to 1, for `rows` (default all) of uint8 images N×H×W×C."""
    batches = [torch.softmax(logits.double(), dim=1).cpu().numpy() for logits in outputs(model, images, rows)]
    return np.concatenate(batches)


def predictions(index: pd.DataFrame, probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """The prediction table: one row per image of `index`, with path, label, patient, split (test, or val for all
    others), predicted, prob_<class>…

    `probabilities`: N×K, in the order of `index` and of `classes`.
    """
    table = index[["path", "label", "patient"]].reset_index(drop=True)
    table["split"] = np.where(index["split"] == "test", "test", "val")
    return table.join(answers(probabilities, classes))


def answers(probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Columns predicted and prob_<class>…, from N×K."""
    predicted = pd.Categorical.from_codes(probabilities.argmax(axis=1), categories=classes)
    return pd.DataFrame({"predicted": predicted} | {f"prob_{c}": probabilities[:, k] for k, c in enumerate(classes)})


def predict(model: Classifier, arrays: Arrays, rows: np.ndarray) -> pd.DataFrame:
    """The prediction table of these rows."""
    return predictions(arrays.index.iloc[rows], probabilities(model, arrays.images, rows), arrays.classes)


def answer(model: Classifier, images: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """What a server says about uint8 images N×H×W×C: columns predicted and prob_<class>…"""
    return answers(probabilities(model, images), classes)
