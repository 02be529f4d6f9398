"""Deletion and insertion (Petsiuk et al. 2018, RISE): what the predicted class loses when the hottest pixels of a map
are taken away, and what it gains when they come back, beside two maps that know nothing of the model: a random one, and
edges.

Shapes: n images, H×W pixels, C channels, S shares of the pixels
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, sobel, zoom

from ...shared.model.model import Model
from ...shared.model.predict import as_tensor
from ..methods.method import grey, log_probability, parts

CELLS = 8  # of a random map, a side: about as coarse as the CAMs; random single pixels would be another, harsher test
BLUR = 0.1  # of the side; standard deviation of the image that pixels are inserted into


def random_maps(rows: np.ndarray, size: tuple[int, int], seed: int) -> np.ndarray:
    """n×H×W in 0…1. The map of an image depends on its row in the arrays and the seed: every model meets the same."""
    height, width = size
    maps = np.empty((len(rows), height, width), np.float32)
    for own, row in zip(maps, rows, strict=True):
        noise = np.random.default_rng((seed, int(row))).random((CELLS, CELLS))
        own[:] = zoom(noise, (height / CELLS, width / CELLS), order=1, grid_mode=True, mode="nearest")
    return maps


def edges(images: np.ndarray) -> np.ndarray:
    """Of uint8 images n×H×W×C, Sobel's: n×H×W in 0…1."""
    bright = images.mean(axis=3)
    strength = np.hypot(sobel(bright, axis=1), sobel(bright, axis=2))
    peaks = strength.max(axis=(1, 2), keepdims=True)
    return np.asarray(strength / np.maximum(peaks, 1e-9), np.float32)


def areas(
    model: Model, images: np.ndarray, targets: np.ndarray, maps: Mapping[str, np.ndarray], ties: np.ndarray,
    shares: Sequence[float],
) -> dict[str, dict[str, np.ndarray]]:  # fmt: skip
    """{name: {deletion, insertion: n areas under the probability of the target, over the share of the pixels}}.

    Deletion puts the mean grey of the image in place of the hottest pixels: a good map has a small area. Insertion puts
    them into a blurred image: a good map has a large one. `maps`: n×H×W each. `ties`: n×H×W; equal pixels go in its
    order, so that a map without heat is a random one.
    """
    device = next(model.parameters()).device
    pixels = as_tensor(images).to(device).float()
    sigma = (0, BLUR * images.shape[1], BLUR * images.shape[2], 0)
    blurred = as_tensor(gaussian_filter(images.astype(np.float32), sigma)).to(device)
    empty, classes = grey(pixels).expand_as(pixels), torch.from_numpy(targets).to(device)
    whole, gone, vague = (probability(model, own, classes) for own in (pixels, empty, blurred))
    between, grid = sorted(shares), [0.0, *sorted(shares), 1.0]
    measured = {}
    for name, own in maps.items():
        hotter = torch.from_numpy(share_hotter(own, ties)).to(device)[:, None]  # n×1×H×W
        removed, restored = (
            [probability(model, torch.where(hotter < share, hot, cold), classes) for share in between]
            for hot, cold in ((empty, pixels), (pixels, blurred))
        )
        measured[name] = {
            "deletion": np.trapezoid(np.stack([whole, *removed, gone]), grid, axis=0),
            "insertion": np.trapezoid(np.stack([vague, *restored, whole]), grid, axis=0),
        }
    return measured


def share_hotter(maps: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Of each pixel the share of the pixels of its image that are hotter: n×H×W in 0…1, float32."""
    flat, order = maps.reshape(len(maps), -1), ties.reshape(len(maps), -1)
    ranks = np.empty(flat.shape, np.float32)
    for own, first, second in zip(ranks, flat, order, strict=True):
        own[np.lexsort((-second, -first))] = np.arange(own.size, dtype=np.float32)
    return np.asarray(ranks.reshape(maps.shape) / max(flat.shape[1], 1), np.float32)


@torch.inference_mode()
def probability(model: Model, images: torch.Tensor, classes: torch.Tensor) -> np.ndarray:
    """Of the class of each image: n."""
    model.eval()
    values = [log_probability(model, images[chunk], classes[chunk]).exp() for chunk in parts(len(images), images)]
    return torch.cat(values).cpu().numpy().astype(float)
