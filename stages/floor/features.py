"""What the floors are given of an image.

Shapes: N images, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..shared.images.plain import SIDE, frame, of_file, small
from .hog import hog

COARSE, FINE = 16, 64  # px: of the floor of pixels, and of HOG


@dataclass(frozen=True)
class Kind:
    """`features`: (images N×H×W×C, their rows of the manifest, positions of those that train) -> N×F; None: the same
    answer for every image."""

    title: str
    about: str
    features: Callable[[np.ndarray, pd.DataFrame, np.ndarray], np.ndarray] | None = None


KINDS: Mapping[str, Kind] = {
    "majority": Kind("Majority class", "the share of each class in the training images, whatever the image shows"),
    "file": Kind(
        "File", "logistic regression on size, proportions, mode, format and JPEG quality of the file",
        lambda images, rows, train: of_file(rows, train),
    ),
    "border": Kind(
        "Border", "logistic regression on the outer frame and the corners of a picture of 32 × 32 pixels",
        lambda images, rows, train: small(images, SIDE)[:, frame()],
    ),
    "pixels": Kind(
        "Pixels", "logistic regression on 16 × 16 pixels",
        lambda images, rows, train: small(images, COARSE).reshape(len(images), -1),
    ),
    "hog": Kind(
        "HOG", "logistic regression on histograms of oriented gradients of 64 × 64 pixels",
        lambda images, rows, train: hog(small(images, FINE)),
    ),
}  # fmt: skip
