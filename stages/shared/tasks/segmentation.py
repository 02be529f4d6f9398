"""Segmentation: each pixel belongs to the background or to one of several structures.

A U-Net (Ronneberger et al. 2015) whose encoder is the backbone. The decoder is its head, so every strategy applies. One
structure has two outputs as well: their softmax is the sigmoid of their difference.

Shapes: B images of a batch, N images, S structures, K = S + 1 outputs (the first is the background), H×W pixels. In the
formulas of the losses p is the softmax over outputs, t the targets; sums are over the pixels of one image.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..arrays.arrays import Arrays
from ..core.errors import UserError
from ..core.settings import Settings
from ..model.backbones.base import WITH_PYRAMID, Backbone
from ..model.decision import choose, mask_of
from ..model.model import Model, Segmenter
from ..model.predict import batched
from ..model.recipe import Architecture, Decision, Recipe
from .losses import WeightedLoss, weighted
from .task import Predictions, described

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

MIXES: bool = False
REMEMBERS: bool = False
DECIDES: bool = True
REQUIREMENTS: Sequence[str] = ("segmentation-models-pytorch", "timm")
BACKGROUND = "background"
LEVELS = 3  # resolutions that a pyramid has at least
FINEST = 16  # channels
SMOOTH = 1.0  # pixels that both sides of a ratio of areas are raised by: defined, and steady, for an empty image


def model(backbone: Backbone, settings: Architecture, outputs: int) -> Model:
    levels, network = backbone.levels, type(backbone.network).__name__
    if len(levels) < LEVELS:
        raise UserError(
            f"backbones: {network} gives maps of {len(levels)} resolution{'' if len(levels) == 1 else 's'}, and a "
            f"U-Net needs {LEVELS} or more. Choose one that has them: {WITH_PYRAMID}."
        )
    usual = [FINEST * 2**n for n in reversed(range(len(levels)))]
    channels = settings.decoder.channels or usual
    if len(channels) != len(levels):
        raise UserError(
            f"backbones: decoder.channels: {channels} are {len(channels)} numbers, and {network} has {len(levels)} "
            f"resolutions. Give one for each, coarsest first, or null for {usual}."
        )
    return Segmenter(backbone, UNet([layer.channels for layer in levels], channels, settings, outputs))


class UNet(nn.Module):
    """(maps, finest first, (H, W)) -> logits B×K×H×W."""

    def __init__(self, widths: Sequence[int], channels: Sequence[int], settings: Architecture, outputs: int) -> None:
        super().__init__()
        from segmentation_models_pytorch.base import SegmentationHead
        from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

        attention = None if settings.decoder.attention == "none" else settings.decoder.attention
        # its first level is the image itself, of which it asks the size alone
        self.decoder = UnetDecoder([3, *widths], channels, n_blocks=len(channels), attention_type=attention)
        self.dropout = nn.Dropout2d(settings.dropout)
        self.last = SegmentationHead(channels[-1], outputs)

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        image = maps[0].new_empty(1, 0, *size)
        logits: Tensor = self.last(self.dropout(self.decoder([image, *maps])))
        return logits


def outputs(arrays: Arrays) -> list[str]:
    return [BACKGROUND, *arrays.structures]


def usable(index: pd.DataFrame) -> np.ndarray:
    """The annotated ones."""
    return np.asarray(index["has_mask"], dtype=bool)


def learnable(index: pd.DataFrame) -> np.ndarray:
    return usable(index)


def check_validation(arrays: Arrays, rows: np.ndarray) -> None:
    """Raises UserError where all masks are empty: no Dice is defined then."""
    if not any(target(arrays)[row].any() for row in rows):
        raise UserError(
            f"params.yaml: task: segmentation: the masks of all {len(rows)} validation images are empty, so no epoch "
            "can be told from another. Take another fold, fewer preprocess.split.folds, or another validate.mask."
        )


def target(arrays: Arrays) -> np.ndarray:
    """uint8 N×H×W: 0 for background, k for the k-th structure; mapped from the file."""
    assert arrays.masks is not None  # study.py asks for validate.mask
    return arrays.masks


def losses(settings: Settings, weights: Literal["balanced", "none"], arrays: Arrays, rows: np.ndarray) -> WeightedLoss:
    """Raises UserError for a structure without a pixel among `rows`."""
    counts = np.zeros(len(outputs(arrays)), np.int64)
    for row in rows:
        counts += np.bincount(target(arrays)[row].ravel(), minlength=len(counts))[: len(counts)]
    missing = [name for name, count in zip(outputs(arrays), counts, strict=True) if not count]
    if missing:
        raise UserError(
            f"data/processed/masks.npy: no pixel of the {len(rows)} training images is {' or '.join(missing)}, so it "
            "cannot be learned. Take a larger sample or a larger preprocess.size, or see params.yaml: validate.mask: "
            "threshold, invert, and whether a later structure covers all of it."
        )
    balanced = torch.tensor(counts.sum() / (len(counts) * counts)).float()
    return make_loss(settings, balanced if weights == "balanced" else torch.ones(len(counts)))


def make_loss(settings: Settings, class_weights: Tensor) -> WeightedLoss:
    """`settings`: a name of LOSSES, and its options. `class_weights` K multiply the terms of their pixels in
    cross-entropy and focal loss; ratios of areas weigh structures alike already."""
    return weighted(LOSSES, settings, class_weights)


def areas(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Soft (true positive, false positive, false negative) pixels, B×S each."""
    p, t = logits.softmax(dim=1)[:, 1:].flatten(2), targets[:, 1:].flatten(2)
    hits = (p * t).sum(dim=2)
    return hits, p.sum(dim=2) - hits, t.sum(dim=2) - hits


def tversky(logits: Tensor, targets: Tensor, weights: Tensor, alpha: float, beta: float) -> Tensor:
    """1 - mean over structures of TP / (TP + alpha FP + beta FN) (Salehi et al. 2017)."""
    tp, fp, fn = areas(logits, targets)
    return 1 - ((tp + SMOOTH) / (tp + alpha * fp + beta * fn + SMOOTH)).mean(dim=1)


def dice(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """1 - mean over structures of 2 Σpt / (Σp + Σt) (Milletari et al. 2016, without squares), image by image: pooled
    over a batch it would depend on how the batch is cut into parts."""
    tp, fp, fn = areas(logits, targets)
    return 1 - ((2 * tp + SMOOTH) / (2 * tp + fp + fn + SMOOTH)).mean(dim=1)


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean over pixels of sum_k w_k t_k (-log p_k)."""
    each = F.cross_entropy(logits, targets, weights, reduction="none", label_smoothing=label_smoothing)
    return each.mean(dim=(1, 2))


def dice_cross_entropy(
    logits: Tensor, targets: Tensor, weights: Tensor, dice_weight: float, label_smoothing: float
) -> Tensor:
    """Cross-entropy + dice_weight · Dice: the first has gradients where the second has none, at the start and in an
    empty image (nnU-Net, Isensee et al. 2021)."""
    return cross_entropy(logits, targets, weights, label_smoothing) + dice_weight * dice(logits, targets, weights)


def focal(logits: Tensor, targets: Tensor, weights: Tensor, gamma: float, label_smoothing: float = 0.0) -> Tensor:
    """Mean over pixels of sum_k w_k t_k (1 - p_k)^gamma (-log p_k) (Lin et al. 2017)."""
    targets = targets * (1 - label_smoothing) + label_smoothing / logits.shape[1]
    log_p = logits.log_softmax(dim=1)
    missing = (1 - log_p.exp()).clamp_min(torch.finfo(log_p.dtype).tiny) ** gamma  # a gradient at p = 1 too
    return -(weights[:, None, None] * targets * missing * log_p).sum(dim=1).mean(dim=(1, 2))


LOSSES: Mapping[str, Callable[..., Tensor]] = {
    "dice_cross_entropy": dice_cross_entropy,
    "dice": dice,
    "cross_entropy": cross_entropy,
    "focal": focal,
    "tversky": tversky,
}


def watch(outputs: int) -> MetricCollection:
    """val_dice: mean over images and structures of the Dice of the likeliest class of each pixel; where both truth and
    prediction are empty it is not defined, and not counted."""
    from torchmetrics import Metric, MetricCollection

    class Dice(Metric):
        """From (logits B×K×H×W, class numbers B×H×W)."""

        total: Tensor
        count: Tensor

        def __init__(self) -> None:
            super().__init__()
            for name in ("total", "count"):
                self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

        def update(self, logits: Tensor, targets: Tensor) -> None:
            predicted = logits.argmax(dim=1)
            for k in range(1, outputs):
                truth, own = ((labels == k).flatten(1) for labels in (targets, predicted))
                both, size = (truth & own).sum(dim=1), truth.sum(dim=1) + own.sum(dim=1)
                self.total += (2 * both[size > 0] / size[size > 0]).sum()
                self.count += (size > 0).sum()

        def compute(self) -> Tensor:
            return (self.total / self.count).float()

    return MetricCollection({"val_dice": Dice()}, compute_groups=False)


def predict(model: Model, arrays: Arrays, rows: np.ndarray) -> Predictions:
    """maps: uint8 n×S×H×W, the probability of each structure in 255ths."""
    maps = np.empty((len(rows), len(arrays.structures), *arrays.size), np.uint8)
    first = 0
    for logits in batched(model, arrays.images, rows):
        maps[first : first + len(logits)] = structures(logits)
        first += len(logits)
    return Predictions(described(arrays.index.iloc[rows]), maps)


def structures(logits: Tensor) -> np.ndarray:
    """uint8 B×S×H×W, from logits B×K×H×W."""
    probabilities: np.ndarray = (logits.float().softmax(dim=1)[:, 1:] * 255).round().to(torch.uint8).cpu().numpy()
    return probabilities


def decide(model: Model, arrays: Arrays, rows: np.ndarray) -> Decision:
    maps = predict(model, arrays, rows).maps
    assert maps is not None
    return choose(maps, target(arrays)[rows])


def answer(model: Model, images: np.ndarray, recipe: Recipe) -> pd.DataFrame:
    """Columns share_<structure>…, of the pixels, and mask: a PNG of class numbers, base64; with the threshold and the
    components that were chosen on the validation images, as the model was scored."""
    from PIL import Image

    assert recipe.decision is not None
    classes, rows = recipe.classes, []
    for logits in batched(model, images):
        for maps in structures(logits):
            labels = mask_of(maps, recipe.decision)
            buffer = io.BytesIO()
            Image.fromarray(labels).save(buffer, format="PNG")
            shares = {f"share_{name}": float((labels == k).mean()) for k, name in enumerate(classes) if k}
            rows.append(shares | {"mask": base64.b64encode(buffer.getvalue()).decode("ascii")})
    return pd.DataFrame(rows, columns=list(columns(classes)))


def columns(classes: list[str]) -> dict[str, type]:
    return {f"share_{name}": float for name in classes[1:]} | {"mask": str}
