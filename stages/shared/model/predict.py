"""A model's outputs for many images, batch by batch, on the best device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..core.progress import progress
from .model import Model

# Shapes: N images, n of them chosen, B of a batch, H×W pixels, C channels


def batches(rows: np.ndarray, size: int = 64) -> list[np.ndarray]:
    """`rows` cut into index arrays of at most `size`."""
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def as_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 B×H×W×C -> uint8 B×C×H×W."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)


def best_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


@torch.inference_mode()
def batched(model: Model, images: np.ndarray, rows: np.ndarray | None = None) -> Iterator[torch.Tensor]:
    """The model's outputs in eval mode, batch by batch, for `rows` (default all) of uint8 images N×H×W×C. They stay on
    the device."""
    device = best_device()
    model = model.eval().to(device)
    chunks = batches(np.arange(len(images)) if rows is None else rows)
    for chunk in progress(chunks, desc="predict", unit="batches", disable=len(chunks) < 8, leave=False):
        yield model(as_tensor(images[chunk]).to(device))
