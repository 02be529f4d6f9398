"""Do the maps depend on what the model has learned? The check of Adebayo et al. (2018), "Sanity Checks for Saliency
Maps": a map that stays the same when all weights are random shows the image, and not the model."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from ...shared.model.model import Model
from ...shared.model.predict import as_tensor
from .likeness import rank_correlation

ALIKE = 0.5
"""Mean rank correlation of the maps with those of the shuffled model, from which on they count as the same."""


def shuffled(model: Model, images: np.ndarray, seed: int) -> Model:
    """A copy whose weights are mixed up, all at once and each tensor in itself, so that every layer keeps its scale.
    BatchNorm then gets the statistics of uint8 `images`, without which signals vanish in a deep network."""
    other = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in other.parameters():
            order = torch.randperm(weights.numel(), generator=generator).to(weights.device)
            weights.copy_(weights.flatten()[order].view_as(weights))
        norms = [part for part in other.modules() if isinstance(part, BatchNorm)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = 1.0  # the statistics of this one batch
            norm.train()
        other(as_tensor(images).to(next(other.parameters()).device))
        return other.eval()


def similarity(maps: np.ndarray, of_shuffled: np.ndarray) -> np.ndarray:
    """n×H×W twice -> n: rank correlation; 0 where the shuffled model's map has no heat, NaN where the model's has
    none."""
    values = rank_correlation(maps, of_shuffled)
    hot, hot_still = maps.any(axis=(1, 2)), of_shuffled.any(axis=(1, 2))
    return np.where(hot, np.where(hot_still, values, 0.0), np.nan)
