"""Exponential moving average of the weights: what validates, and what is kept."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging


class MovingAverage(WeightAveraging):
    """Lightning's callback, with a decay that rises to its value: min(decay, (1 + n) / (10 + n)) after n steps, as in
    TensorFlow's ExponentialMovingAverage; else a short training would average mostly over its random start."""

    def __init__(self, decay: float) -> None:
        def average(mean: torch.Tensor, now: torch.Tensor, steps: torch.Tensor | int) -> Any:
            if not mean.is_floating_point():
                return now  # a counter of BatchNorm
            share = min(decay, (1 + int(steps)) / (10 + int(steps)))
            return mean.lerp(now, 1 - share)  # leaves alone what does not change, to the last bit

        super().__init__(avg_fn=average)
