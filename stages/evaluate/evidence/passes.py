"""Several predictions of one image: with the dropout of training, and of augmented views.

Shapes: N images, T passes, K classes, B images of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...shared.arrays.transforms import Transform
from ...shared.model.model import Model
from ...shared.model.predict import as_tensor, batches, best_device

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
AT_ONCE = 64  # images, or repeats of them, in a pass through the backbone


def dropouts(module: nn.Module) -> list[nn.Module]:
    """Its layers that drop something. Whole branches that a network may skip (stochastic depth) are none."""
    return [layer for layer in module.modules() if isinstance(layer, DROPOUT) and layer.p > 0]


@contextmanager
def dropping(model: Model, seed: int) -> Iterator[None]:
    """Inside, the model is as in use, but for its dropout, which is as in training and drawn from `seed`."""
    layers, devices = dropouts(model.eval()), [best_device()] if best_device().type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        for layer in layers:
            layer.train()
        try:
            yield
        finally:
            for layer in layers:
                layer.eval()


@torch.inference_mode()
def with_dropout(model: Model, images: np.ndarray, rows: np.ndarray, passes: int, seed: int) -> np.ndarray:
    """T×N×K probabilities. The repeats of an image go through the network side by side in a batch. Where only the head
    has dropout, the backbone computes each image once, as its result is the same in every pass."""
    device, outputs = best_device(), []
    model = model.to(device)
    once = not dropouts(model.backbone)
    with dropping(model, seed):
        for chunk in batches(rows, AT_ONCE if once else max(1, AT_ONCE // passes)):
            x = model.normalise(as_tensor(images[chunk]).to(device))
            size = (x.shape[2], x.shape[3])
            encoded = model.encode(x if once else x.repeat_interleave(passes, dim=0))
            if once:
                encoded = tuple(part.repeat_interleave(passes, dim=0) for part in encoded)
            logits = model.decode(encoded, size)
            outputs.append(probabilities(logits).reshape(len(chunk), passes, -1))
    return np.concatenate(outputs).swapaxes(0, 1)


@torch.inference_mode()
def augmented(
    model: Model, images: np.ndarray, rows: np.ndarray, steps: list[Any], passes: int, seed: int
) -> np.ndarray:
    """T×N×K probabilities of views of the images, each made by `steps` from (seed, row, view)."""
    device, outputs = best_device(), []
    model = model.eval().to(device)
    transform = Transform(steps, where="recipe.json: params.augment", channels=images.shape[3], keep_size=True)
    for chunk in batches(rows, max(1, AT_ONCE // passes)):
        views = [transform(images[row], seed=view_seed(seed, row, view)) for row in chunk for view in range(passes)]
        logits = model(as_tensor(np.stack(views)).to(device))
        outputs.append(probabilities(logits).reshape(len(chunk), passes, -1))
    return np.concatenate(outputs).swapaxes(0, 1)


def view_seed(seed: int, row: int, view: int) -> int:
    return int(np.random.SeedSequence([seed, int(row), view]).generate_state(1)[0] >> 1)


def probabilities(logits: Tensor) -> np.ndarray:
    """B×K."""
    return np.asarray(torch.softmax(logits.double(), dim=1).cpu().numpy())
