"""Class probabilities -> the prediction table of a task, with the columns that evaluate writes.

Shapes: n rows, K classes; H×W pixels, S structures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..shared.core.task import PROBABILITY

SMALLEST = 1e-12  # of a probability whose logarithm is taken


def described(index: pd.DataFrame) -> pd.DataFrame:
    """Which images the rows are: path, label, patient, group, split (val or test)."""
    return index[["path", "label", "patient", "group", "split"]].astype({"split": str}).reset_index(drop=True)


def classes_of(index: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """Of classification: predicted, and the probability of each class."""
    names = list(index["label"].cat.categories)
    predicted = pd.Categorical.from_codes(probabilities.argmax(axis=1), categories=names)
    columns = {f"{PROBABILITY}{name}": probabilities[:, k] for k, name in enumerate(names)}
    return described(index).assign(predicted=predicted, **columns)


def score_of(index: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """Of anomaly detection: the log-odds of not being normal, of a model that has seen anomalies."""
    normal = np.clip(probabilities[:, 0], SMALLEST, 1 - SMALLEST)
    return described(index).assign(score=np.log((1 - normal) / normal))


TABLES: Mapping[str, Callable[[pd.DataFrame, np.ndarray], pd.DataFrame]] = {
    "classification": classes_of,
    "anomaly": score_of,
}


@dataclass(frozen=True)
class Half:
    """A pixel belongs to a structure that at least half of the training images have there; all components stay."""

    kept: tuple[int, ...]
    level: int = 128  # 255ths

    def mask(self, maps: np.ndarray) -> np.ndarray:
        """uint8 h×w of class numbers, from S×h×w."""
        return np.where(maps.sum(axis=0, dtype=np.uint16) >= self.level, maps.argmax(axis=0) + 1, 0).astype(np.uint8)


def mean_masks(masks: np.ndarray, structures: int) -> np.ndarray:
    """uint8 S×H×W, in 255ths: how often each pixel belongs to each structure. `masks`: class numbers, rows × H×W."""
    shares = np.stack([(masks == k).mean(axis=0) for k in range(1, structures + 1)])
    return (shares * 255).round().astype(np.uint8)
