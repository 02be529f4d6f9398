"""What a shortcut can be learned from: parts of an image, and facts of its file, that should not tell the label.

Shapes: N images; S = SIDE.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from ...shared.images.plain import SIDE, frame, histogram, of_file, small

COARSE = 16  # px of the picture whose grey levels are counted
OUTLIERS = 5.0  # percent of the boxes that may reach further on each side
MARGIN = 0.02  # of the side of the image, around the box
WORTHWHILE = 0.02  # share of the image that has to lie outside the box


@dataclass(frozen=True)
class Evidence:
    """One kind. `features`: N×F. `reason`: why there are none. `disease`: it may show the disease too, so that it
    raises no warning. `seen`: bool S×S, the pixels that are looked at. `learnt`: where features depend on the images
    that a model learns from, bool N: the features for these."""

    name: str
    title: str
    about: str
    features: np.ndarray | None
    reason: str = ""
    disease: bool = False
    seen: np.ndarray | None = None
    learnt: Callable[[np.ndarray], np.ndarray] | None = None


Box = tuple[float, float, float, float]
"""Left, top, right and bottom of what belongs to a structure, as shares of width and height."""


def all_evidence(rows: pd.DataFrame, thumbnails: np.ndarray, boxes: Sequence[Box], structures: str) -> list[Evidence]:
    """`rows`: of the manifest. `thumbnails`: uint8 N×T×T. `boxes`: of the annotated images."""
    pictures = small(thumbnails, SIDE)
    return [
        _of_file(rows),
        Evidence("border", "Border of the image", "the outer frame and the corners of a picture of 32 × 32 pixels",
                 pictures[:, frame()], seen=frame()),
        _outside(pictures, boxes, structures),
        Evidence("brightness", "Brightness", "how many of 16 × 16 pixels have which grey level",
                 histogram(small(thumbnails, COARSE)), disease=True),
    ]  # fmt: skip


def _of_file(rows: pd.DataFrame) -> Evidence:
    features = of_file(rows)
    about = "size, proportions, colour mode, format and JPEG quality of the file"
    if features.shape[1] == 0:
        return Evidence("file", "File", about, None, "all files have the same size, mode and format")
    return Evidence("file", "File", about, features, learnt=partial(of_file, rows))


def _outside(pictures: np.ndarray, boxes: Sequence[Box], structures: str) -> Evidence:
    name, title = "outside", f"Outside of {structures}" if structures else "Outside of the structures"
    about = (
        f"32 × 32 pixels without the box around {structures or 'the structures'}; the box is the same for all images, "
        "so that its shape tells nothing"
    )
    if not boxes:
        return Evidence(name, title, about, None, "no image has a mask")
    seen = ~hidden_box(boxes)
    if seen.mean() < WORTHWHILE:
        return Evidence(name, title, about, None, "the structures fill the whole image")
    return Evidence(name, title, about, pictures[:, seen], seen=seen)


def hidden_box(boxes: Sequence[Box]) -> np.ndarray:
    """bool S×S: the box that nearly all `boxes` lie in, with a margin. One box for all images: a box of each image's
    own would tell how large its structure is, which can be the disease itself, and what was annotated."""
    left, top, right, bottom = np.array(boxes).T
    x0, y0 = (np.percentile(edge, OUTLIERS) - MARGIN for edge in (left, top))
    x1, y1 = (np.percentile(edge, 100 - OUTLIERS) + MARGIN for edge in (right, bottom))
    edges = np.arange(SIDE) / SIDE, (np.arange(SIDE) + 1) / SIDE  # of each pixel
    columns, rows = (edges[0] < x1) & (edges[1] > x0), (edges[0] < y1) & (edges[1] > y0)
    return np.asarray(rows[:, None] & columns)
