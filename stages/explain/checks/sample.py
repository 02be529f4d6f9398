"""Which test images are examined, and for how many of the test split each of them stands.

Shapes: n images of the sample
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

OUTCOMES = {(0, True): "TN", (0, False): "FP", (1, True): "TP", (1, False): "FN"}
"""Of two classes: number of the class, whether the prediction is right."""


@dataclass(frozen=True)
class Stratum:
    """Test images of one class with right, or wrong, predictions. outcome: of two classes. `of`: how many there are."""

    label: str
    correct: bool
    outcome: str | None
    images: int
    of: int


@dataclass(frozen=True)
class Sample:
    """table: n rows of predictions.parquet with `correct` and `stratum`, a number in `strata`. weights: for how many
    test images each stands."""

    table: pd.DataFrame
    strata: list[Stratum]
    weights: np.ndarray

    @property
    def clusters(self) -> np.ndarray:
        """The group of each image: a patient, or several that share duplicates."""
        return np.asarray(self.table["group"])

    @property
    def targets(self) -> np.ndarray:
        """The predicted class of each image, as a number."""
        return np.asarray(self.table["predicted"].cat.codes, np.int64)

    @property
    def correct(self) -> np.ndarray:
        return np.asarray(self.table["correct"], bool)


def draw(predictions: pd.DataFrame, classes: Sequence[str], count: int, seed: int) -> Sample:
    """At most `count` random test images: of each class and outcome one by turns, until there are none left. Few errors
    are then all in the sample, and stand for themselves alone."""
    test = predictions[predictions["split"] == "test"].sort_values("path", ignore_index=True)
    correct = test["label"].astype(str) == test["predicted"].astype(str)
    test = test.assign(correct=correct, stratum=2 * pd.Categorical(test["label"], classes).codes + ~correct)
    shuffled = test.iloc[np.random.default_rng(seed).permutation(len(test))]
    turns = shuffled.groupby("stratum").cumcount().sort_values(kind="stable").index
    chosen = shuffled.loc[turns].head(count).sort_values(["stratum", "path"], ignore_index=True)
    all_of, own = test["stratum"].value_counts(), chosen["stratum"].value_counts()
    numbers = sorted(own.index)
    strata = [stratum(int(k), classes, int(own[k]), int(all_of[k])) for k in numbers]
    chosen = chosen.assign(stratum=[numbers.index(k) for k in chosen["stratum"]])
    weights = np.array([strata[k].of / strata[k].images for k in chosen["stratum"]])
    return Sample(chosen, strata, weights)


def stratum(number: int, classes: Sequence[str], images: int, of: int) -> Stratum:
    k, wrong = divmod(number, 2)
    outcome = OUTCOMES[k, not wrong] if len(classes) == 2 else None
    return Stratum(classes[k], not wrong, outcome, images, of)
