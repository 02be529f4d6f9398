"""Classification: each image belongs to exactly one class.

Shapes: B images of a batch, N images, F features, K classes (the first is the healthy one). In the formulas of the
losses p is the softmax of the logits, t the targets, w the class weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..arrays.arrays import Arrays
from ..core.settings import Settings
from ..core.task import LOG_PROBABILITY, PROBABILITY
from ..model.backbones.base import Backbone
from ..model.model import Classifier, Model
from ..model.predict import batched
from ..model.recipe import Architecture, Recipe
from .losses import WeightedLoss, weighted
from .task import Predictions, described

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

MIXES: bool = True
REMEMBERS: bool = False
DECIDES: bool = False
REQUIREMENTS: Sequence[str] = ()


def model(backbone: Backbone, settings: Architecture, outputs: int) -> Model:
    return Classifier(backbone, head(backbone, settings, outputs))


def head(backbone: Backbone, settings: Architecture, classes: int) -> nn.Module:
    """B×F -> logits B×K. Dropout and a linear layer; before them, for each hidden width: dropout, linear, norm,
    activation."""
    layers: list[nn.Module] = []
    features = backbone.feature_count
    for width in settings.head.hidden:
        layers += [nn.Dropout(settings.dropout), nn.Linear(features, width)]
        layers += [nn.BatchNorm1d(width)] if settings.head.norm == "batch" else []
        layers += [nn.ReLU() if settings.head.activation == "relu" else nn.GELU()]
        features = width
    return nn.Sequential(*layers, nn.Dropout(settings.dropout), nn.Linear(features, classes))


def outputs(arrays: Arrays) -> list[str]:
    return arrays.classes


def usable(index: pd.DataFrame) -> np.ndarray:
    return np.ones(len(index), dtype=bool)


def learnable(index: pd.DataFrame) -> np.ndarray:
    return usable(index)


def check_validation(arrays: Arrays, rows: np.ndarray) -> None:
    """Any will do."""


def target(arrays: Arrays) -> np.ndarray:
    """int64 N: the position of each label in `arrays.classes`."""
    return arrays.targets


def losses(settings: Settings, weights: Literal["balanced", "none"], arrays: Arrays, rows: np.ndarray) -> WeightedLoss:
    classes = len(arrays.classes)
    balanced = weights == "balanced"
    return make_loss(settings, class_weights(arrays.targets[rows], classes) if balanced else torch.ones(classes))


def class_weights(targets: np.ndarray, classes: int) -> Tensor:
    """float K: N / (K · N_k), as scikit-learn's compute_class_weight balances."""
    return torch.tensor(len(targets) / (classes * np.bincount(targets, minlength=classes)), dtype=torch.float32)


def make_loss(settings: Settings, class_weights: Tensor) -> WeightedLoss:
    """`settings`: a name of LOSSES, and its options. `class_weights` K multiply the terms of their classes."""
    return weighted(LOSSES, settings, class_weights)


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """sum_k w_k t_k (-log p_k)."""
    return F.cross_entropy(logits, targets, weights, reduction="none", label_smoothing=label_smoothing)


def focal(logits: Tensor, targets: Tensor, weights: Tensor, gamma: float, label_smoothing: float = 0.0) -> Tensor:
    """sum_k w_k t_k (1 - p_k)^gamma (-log p_k) (Lin et al. 2017; Mukhoti et al. 2020 for K classes)."""
    targets = targets * (1 - label_smoothing) + label_smoothing / logits.shape[1]
    missing = torch.exp(gamma * log_complement(logits))  # (1 - p)^gamma, B×K
    return -(weights * targets * missing * logits.log_softmax(dim=1)).sum(dim=1)


def log_complement(logits: Tensor) -> Tensor:
    """log(1 - p_k), B×K, from the other classes' logits: exact, with finite gradients, where p_k rounds to 1."""
    itself = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    others = logits[:, None, :].masked_fill(itself, -torch.inf)  # B×K×K
    return others.logsumexp(dim=2) - logits.logsumexp(dim=1, keepdim=True)


def cost_sensitive(logits: Tensor, targets: Tensor, weights: Tensor, miss_cost: float) -> Tensor:
    """Cross-entropy in which every class but the first weighs `miss_cost` times as much. With two classes the second is
    then the likelier one wherever p > 1 / (1 + miss_cost): Elkan 2001, "The foundations of cost-sensitive learning"."""
    costs = torch.full_like(weights, miss_cost)
    costs[0] = 1.0
    return cross_entropy(logits, targets, weights * costs)


LOSSES: Mapping[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "cost_sensitive": cost_sensitive,
}


def watch(outputs: int) -> MetricCollection:
    """What is logged after every epoch beside val_loss, and may stop a training: each is better when it is higher. The
    AUROC is exact: the mean over classes, one against the rest, of the area under the empirical curve."""
    from torchmetrics import Metric, MetricCollection  # here: it takes seconds, and only training needs it
    from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC

    class Watched(MetricCollection):
        """From (logits B×K, targets int64 B)."""

        def update(self, outputs: Tensor, targets: Tensor) -> None:  # type: ignore[override] # ModuleDict has another
            super().update(outputs.softmax(dim=1), targets)

    metrics: dict[str, Metric | MetricCollection] = {
        "val_accuracy": MulticlassAccuracy(outputs, average="micro", validate_args=False),
        "val_auroc": MulticlassAUROC(outputs, validate_args=False),
    }
    return Watched(metrics, compute_groups=False)


def log_probabilities(model: Model, images: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """float64 n×K, for `rows` (default all) of uint8 images N×H×W×C."""
    batches = [torch.log_softmax(logits.double(), dim=1).cpu().numpy() for logits in batched(model, images, rows)]
    return np.concatenate(batches)


def probabilities(model: Model, images: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """float64 n×K, each row sums to 1."""
    return np.asarray(np.exp(log_probabilities(model, images, rows)))


def predictions(index: pd.DataFrame, probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """The prediction table: the columns of `described`, predicted, prob_<class>…

    `probabilities`: N×K, in the order of `index` and of `classes`.
    """
    return described(index).join(answers(probabilities, classes))


def predict(model: Model, arrays: Arrays, rows: np.ndarray) -> Predictions:
    """With columns logit_<class>… of the log-probabilities."""
    logs = log_probabilities(model, arrays.images, rows)
    columns = {LOG_PROBABILITY + name: logs[:, k].astype(np.float32) for k, name in enumerate(arrays.classes)}
    return Predictions(predictions(arrays.index.iloc[rows], np.exp(logs), arrays.classes).assign(**columns))


def answers(probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Columns predicted and prob_<class>…, from N×K."""
    predicted = pd.Categorical.from_codes(probabilities.argmax(axis=1), categories=classes)
    return pd.DataFrame(
        {"predicted": predicted} | {PROBABILITY + c: probabilities[:, k] for k, c in enumerate(classes)}
    )


def decide(model: Model, arrays: Arrays, rows: np.ndarray) -> None:
    """Nothing."""


def answer(model: Model, images: np.ndarray, recipe: Recipe) -> pd.DataFrame:
    """What a server says about uint8 images N×H×W×C: columns predicted and prob_<class>…"""
    return answers(probabilities(model, images), recipe.classes)


def columns(classes: list[str]) -> dict[str, type]:
    """Of `answer`: their names, and str or float."""
    return {"predicted": str} | {PROBABILITY + name: float for name in classes}
