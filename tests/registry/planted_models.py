"""Made-up predictions of two models on the same test images, with a known difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, ndtri

from stages.registry.params import Params
from stages.shared.core.task import CALIBRATED, PROBABILITY

CLASSES = ["normal", "sick"]


def patients(count: int = 300, images: int = 1, share: float = 0.5) -> pd.DataFrame:
    """A test set: `images` of each patient; the first `share` of them are sick."""
    sick = np.arange(count) < share * count
    labels = pd.Categorical.from_codes(np.repeat(sick.astype(int), images), categories=CLASSES)
    names = np.repeat([f"p{i}" for i in range(count)], images)
    return pd.DataFrame({"label": labels, "patient": names, "group": np.repeat(np.arange(count), images)})


def scores(test: pd.DataFrame, separation: float, rng: np.random.Generator, shared: np.ndarray) -> np.ndarray:
    """N: normal noise of one variance, two thirds of it `shared` with the other model, plus `separation` of the sick.
    The AUROC is the normal probability of separation / √2."""
    own = rng.normal(size=len(test))
    return separation * (test["label"].cat.codes.to_numpy() == 1) + np.sqrt(2 / 3) * shared + np.sqrt(1 / 3) * own


def said(test: pd.DataFrame, score: np.ndarray, threshold: float, separation: float) -> pd.DataFrame:
    """A table of predictions whose probabilities are calibrated, as those of two normal distributions are."""
    share = (test["label"].cat.codes == 1).mean()
    sick = expit(separation * score - separation**2 / 2 + np.log(share / (1 - share)))
    table = test.assign(predicted=pd.Categorical.from_codes((score > threshold).astype(int), categories=CLASSES))
    for prefix in (PROBABILITY, CALIBRATED):
        table = table.assign(**{f"{prefix}normal": 1 - sick, f"{prefix}sick": sick})
    return table


def pair(
    test: pd.DataFrame, new: float, old: float, seed: int, new_threshold: float | None = None, sensitivity: float = 0.85
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(candidate, champion) of these separations, each with a true `sensitivity`, unless the candidate has another
    threshold."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=test["group"].nunique())[test["group"]]  # images of a patient are alike
    at = new - ndtri(sensitivity), old - ndtri(sensitivity)
    candidate = said(test, scores(test, new, rng, shared), at[0] if new_threshold is None else new_threshold, new)
    return candidate, said(test, scores(test, old, rng, shared), at[1], old)


def rules(**changes: Any) -> Params:
    return Params.model_validate({"draws": 300, "floors": {}, "calibration": 0.5, **changes})
