"""Losses per image, over soft targets.

Legend: B images, K classes (the first is the healthy one), p = softmax of the logits, t targets, w class weights.
Each loss is float32 B, not reduced: the caller sums, and divides by the images of the whole optimiser step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..params.recipe import CostSensitive, CrossEntropy, Focal

Formula = Callable[[Tensor, Tensor, Tensor], Tensor]


class Loss(nn.Module):
    """(logits B×K, targets) -> B. Targets are classes, int64 B, or soft, B×K. A module, so that its weights follow the
    model to its device; they are no part of a checkpoint."""

    class_weights: Tensor

    def __init__(self, formula: Formula, class_weights: Tensor) -> None:
        super().__init__()
        self.formula = formula
        self.register_buffer("class_weights", class_weights.detach().float(), persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits = logits.float()
        if targets.dim() == 1:
            targets = F.one_hot(targets, logits.shape[1])
        return self.formula(logits, targets.to(logits), self.class_weights.to(logits))


def make_loss(settings: CrossEntropy | Focal | CostSensitive, class_weights: Tensor) -> Loss:
    """`class_weights` K multiply the terms of their classes."""
    match settings:
        case CrossEntropy():
            return Loss(partial(cross_entropy, label_smoothing=settings.label_smoothing), class_weights)
        case Focal():
            formula = partial(focal, gamma=settings.gamma, label_smoothing=settings.label_smoothing)
            return Loss(formula, class_weights)
        case CostSensitive():
            return Loss(cross_entropy, class_weights * miss_weights(settings.miss_cost, class_weights))


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


def miss_weights(miss_cost: float, like: Tensor) -> Tensor:
    """K: 1 for the first class, `miss_cost` for the others. With two classes the second is then the likelier one
    wherever p > 1 / (1 + miss_cost): Elkan 2001, "The foundations of cost-sensitive learning"."""
    weights = torch.full_like(like, miss_cost)
    weights[0] = 1.0
    return weights
