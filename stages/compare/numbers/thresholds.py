"""What any threshold would have made of the test images: counts at each place of a slider, for two classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..read import Member
from .curves import confusion

ENDS = np.array([0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005])  # models that are very sure have most scores beyond them
GRID = np.round(np.unique(np.r_[0, ENDS, np.arange(0.01, 0.9901, 0.005), 1 - ENDS, 1]), 4)
"""Places of the slider, ascending."""


def counts(m: Member) -> dict[str, Any]:
    """tp, fp: positives and negatives whose score lies above each threshold of GRID. own: at the threshold that the
    model was evaluated with."""
    ((positive, score),) = m.answers.ranked.values()
    own = confusion(m)
    return {
        "key": str(m.key),
        "tp": above(score[positive]),
        "fp": above(score[~positive]),
        "own": {"threshold": threshold(m), "tp": int(own[1, 1]), "fp": int(own[0, 1])},
    }


def above(scores: np.ndarray) -> list[int]:
    """How many of `scores` lie above each threshold of GRID."""
    return [int(n) for n in len(scores) - np.searchsorted(np.sort(scores), GRID, side="right")]


def threshold(m: Member) -> float:
    """That the model was evaluated with: of two classes the likelier one, where evaluate chose none."""
    return float(m.test["threshold"].iloc[0]) if "threshold" in m.test else 0.5


def of_models(models: Sequence[Member]) -> dict[str, Any] | None:
    """What the page's slider needs; None where there are more classes than two, or no probabilities."""
    ranked = getattr(models[0].answers, "ranked", {})
    if len(ranked) != 1 or not hasattr(models[0].answers, "probabilities"):
        return None
    ((positive, _),) = ranked.values()
    return {
        "grid": GRID.tolist(),
        "positives": int(positive.sum()),
        "negatives": int((~positive).sum()),
        "models": [counts(m) for m in models],
    }
