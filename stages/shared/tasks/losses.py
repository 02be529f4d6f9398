"""Losses of models whose outputs are logits of classes, of an image or of each pixel.

Shapes: B images of a batch, K classes, … nothing or H×W
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.settings import Settings

Formula = Callable[..., Tensor]
"""(logits B×K×…, soft targets B×K×…, class weights K, options) -> B."""


class WeightedLoss(nn.Module):
    """(logits B×K×…, targets) -> float32 B, not reduced: the caller sums, and divides by the images of the whole step
    of the optimiser. Targets are class numbers B×…, or soft, floats B×K×…. In float32 always: sums over all pixels of
    an image overflow in float16. A module, so that its weights follow the model to its device; they are no part of a
    checkpoint."""

    class_weights: Tensor

    def __init__(self, formula: Formula, class_weights: Tensor) -> None:
        super().__init__()
        self.formula = formula
        self.register_buffer("class_weights", class_weights.detach().float(), persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits.float()
            return self.formula(logits, self.soft(targets).to(logits), self.class_weights.to(logits))

    def soft(self, targets: Tensor) -> Tensor:
        """Floats B×K×…, of targets of either kind: what can be mixed."""
        if targets.is_floating_point():
            return targets.float()
        return F.one_hot(targets.long(), len(self.class_weights)).movedim(-1, 1).float()


def weighted(formulas: Mapping[str, Formula], settings: Settings, class_weights: Tensor) -> WeightedLoss:
    """`settings`: a name of `formulas`, and its options. `class_weights`: K."""
    options: dict[str, Any] = settings.model_dump()
    return WeightedLoss(partial(formulas[options.pop("name")], **options), class_weights)
