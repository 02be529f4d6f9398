"""Exponential moving average of the weights: what validates, and what is kept."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging


class MovingAverage(WeightAveraging):
    """Lightning's callback, with a decay that rises to its value: min(decay, (1 + n) / (10 + n)) after n steps, as in
    TensorFlow's ExponentialMovingAverage; else a short training would average mostly over its random start."""

    def __init__(self, decay: float) -> None:
        def average(averages: Any, weights: Any, steps: torch.Tensor | int) -> None:
            if not averages[0].is_floating_point():  # counters of BatchNorm
                torch._foreach_copy_(averages, weights)
                return
            steps = int(steps)
            torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + steps) / (10 + steps)))

        super().__init__(multi_avg_fn=average)
