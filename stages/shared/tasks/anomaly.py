"""Anomaly detection: the first class is normal, every other one is not. Models learn from normal images alone, and give
each image a score, and a map of where it comes from.

A model that learns is an autoencoder: it draws the image again, and its score is the error. A memory is fitted: its
score is the distance from what it remembers of normal images.

Shapes: B images of a batch, N images, n rows, H×W pixels. Outputs of a model: B×K×h×w, as model/detectors.py says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from torch import Tensor, nn

from ..arrays.arrays import Arrays
from ..core.errors import UserError
from ..core.settings import Settings
from ..model import detectors
from ..model.backbones.base import Backbone
from ..model.memories.make import make_memory
from ..model.model import Model
from ..model.predict import batched
from ..model.recipe import Architecture, Recipe
from .task import Predictions, described

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

MIXES: bool = False
REMEMBERS: bool = True
DECIDES: bool = False
REQUIREMENTS: Sequence[str] = ()


def model(backbone: Backbone, settings: Architecture, outputs: int) -> Model:
    if settings.memory is not None:
        return detectors.Comparison(backbone, *make_memory(settings.memory, backbone))
    drawing = settings.reconstruction
    return detectors.Autoencoder(backbone, drawing.latent, drawing.channels)


def outputs(arrays: Arrays) -> list[str]:
    """The classes: of the first one it learns, and it tells it from the others."""
    return arrays.classes


def usable(index: pd.DataFrame) -> np.ndarray:
    return np.ones(len(index), dtype=bool)


def learnable(index: pd.DataFrame) -> np.ndarray:
    """The normal images."""
    return np.asarray(index["label"].cat.codes == 0)


def check_validation(arrays: Arrays, rows: np.ndarray) -> None:
    """Raises UserError unless there are both normal and anomalous images."""
    index = arrays.index.iloc[rows]
    normal = int(learnable(index).sum())
    if normal in (0, len(index)):
        which = "normal" if normal == 0 else "anomalous"
        raise UserError(
            f"params.yaml: task: anomaly: of {len(index)} validation images none is {which} (validate.classes: the "
            f"first class, {index['label'].cat.categories[0]}, is the normal one). Nothing can be told apart, and no "
            "threshold chosen. Take another fold, fewer preprocess.split.folds, or more images of that class."
        )


def target(arrays: Arrays) -> np.ndarray:
    """int64 N: 0 for normal, 1 for anomalous."""
    targets: np.ndarray = np.minimum(arrays.targets, 1)
    return targets


def losses(settings: Settings, weights: Literal["balanced", "none"], arrays: Arrays, rows: np.ndarray) -> Loss:
    return Loss(**{name: value for name, value in settings.model_dump().items() if name == "ssim"})


class Loss(nn.Module):
    """(outputs, targets B) -> float32, one value for each normal image of the batch: the others do not count."""

    def __init__(self, ssim: float = 0.0) -> None:
        super().__init__()
        self.ssim = ssim

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        outputs = outputs[targets == 0].float()
        errors = detectors.scores(outputs)
        drawn = detectors.reconstructions(outputs)
        if self.ssim == 0 or drawn is None or not len(outputs):
            return errors
        return (1 - self.ssim) * errors + self.ssim * (1 - similarity(*drawn))

    def soft(self, targets: Tensor) -> Tensor:
        raise AssertionError("images of this task are not mixed")


def similarity(images: Tensor, others: Tensor) -> Tensor:
    """SSIM of images of 0…1, B (Wang et al. 2004)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    values = structural_similarity_index_measure(images, others, reduction="none", data_range=1.0)
    assert isinstance(values, Tensor)
    return values.view(len(images))


LOSSES: Mapping[str, Callable[..., Tensor]] = {"reconstruction": similarity}


def watch(outputs: int) -> MetricCollection:
    """The exact AUROC, normal images against all others."""
    from torchmetrics import Metric, MetricCollection
    from torchmetrics.classification import BinaryAUROC

    class Watched(MetricCollection):
        def update(self, outputs: Tensor, targets: Tensor) -> None:  # type: ignore[override] # ModuleDict has another
            scores = detectors.scores(outputs)
            # of 0…1: torchmetrics would put each batch that is not through a sigmoid, which ties large scores
            super().update(scores / (1 + scores), targets)

    metrics: dict[str, Metric | MetricCollection] = {"val_auroc": BinaryAUROC(validate_args=False)}
    return Watched(metrics, compute_groups=False)


def predict(model: Model, arrays: Arrays, rows: np.ndarray) -> Predictions:
    """Column `score`; maps float16 n×H×W. The larger, the less normal."""
    scores, maps = np.empty(len(rows)), np.empty((len(rows), *arrays.size), np.float16)
    first = 0
    for outputs in batched(model, arrays.images, rows):
        part = slice(first, first + len(outputs))
        scores[part] = detectors.scores(outputs).double().cpu().numpy()
        maps[part] = detectors.maps(outputs, arrays.size).half().cpu().numpy()
        first += len(outputs)
    return Predictions(described(arrays.index.iloc[rows]).assign(score=scores), maps)


def decide(model: Model, arrays: Arrays, rows: np.ndarray) -> None:
    """Nothing."""


def answer(model: Model, images: np.ndarray, recipe: Recipe) -> pd.DataFrame:
    """Column `score`. Which score is too high depends on how many false alarms one can bear: reports/evaluate/<key> has
    the threshold that validation images gave."""
    parts = [detectors.scores(outputs).double().cpu().numpy() for outputs in batched(model, images)]
    return pd.DataFrame({"score": np.concatenate(parts)})


def columns(classes: list[str]) -> dict[str, type]:
    return {"score": float}
