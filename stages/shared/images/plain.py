"""What a linear model is given where no network should be needed: facts of the file, the frame of the image, its grey
levels, a few pixels.

Shapes: N images; S the side of a small square picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

import cv2
import numpy as np
import pandas as pd

SIDE = 32  # px of the picture whose frame is looked at
FRAME, CORNER = 3, 6  # px of it: width of the frame, side of the squares in its corners, where letters lie
LEVELS = 16  # bins of a histogram
BINS = 8  # of a number of the file: what is common in one class need not be large or small


def small(pictures: Iterable[np.ndarray], side: int) -> np.ndarray:
    """float32 N×S×S grey levels, 0…255, of uint8 pictures H×W or H×W×C of any sizes: squeezed, each pixel a mean."""
    shrunk = [cv2.resize(_grey(picture), (side, side), interpolation=cv2.INTER_AREA) for picture in pictures]
    return np.stack(shrunk).astype(np.float32) if shrunk else np.zeros((0, side, side), np.float32)


def _grey(picture: np.ndarray) -> np.ndarray:
    if picture.ndim == 3:
        picture = picture[..., 0] if picture.shape[2] == 1 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.ascontiguousarray(picture)


def frame(side: int = SIDE) -> np.ndarray:
    """bool S×S: the outermost pixels and the corners."""
    inner = np.zeros((side, side), bool)
    inner[FRAME:-FRAME, FRAME:-FRAME] = True
    for rows in (slice(None, CORNER), slice(-CORNER, None)):
        for columns in (slice(None, CORNER), slice(-CORNER, None)):
            inner[rows, columns] = False
    return ~inner


def histogram(pictures: np.ndarray) -> np.ndarray:
    """float N×LEVELS: shares of the grey levels of pictures N×S×S."""
    bins = np.minimum(pictures.reshape(len(pictures), -1) * LEVELS // 256, LEVELS - 1).astype(int)
    shares = [np.bincount(row, minlength=LEVELS) / len(row) for row in bins]
    return np.array(shares).reshape(-1, LEVELS)


def of_file(rows: pd.DataFrame, seen: np.ndarray | None = None) -> np.ndarray:
    """float N×F, from the columns path, width, height, mode and quantisation of the manifest: size and proportions,
    mode, suffix and JPEG quality of the file. Each number comes as it is and as the bin of equally many images that it
    lies in, of those that are `seen` (bool N or positions; None: of all): a model learns from these alone. Of files
    alike in all of it nothing is left: F is 0."""
    width, height = (rows[name].astype(float) for name in ("width", "height"))
    coarseness = rows["quantisation"].astype(float)
    numbers = pd.DataFrame(
        {
            "width": np.log(width), "height": np.log(height), "aspect": np.log(width / height),
            "quantisation": np.log1p(coarseness.fillna(0)),
        }
    )  # fmt: skip
    kinds = {f"{name} bin": _bins(column.to_numpy(), seen) for name, column in numbers.items()}
    kinds |= {"mode": rows["mode"].astype(str), "suffix": rows["path"].map(_suffix)}
    dummies = pd.get_dummies(pd.DataFrame(kinds).astype(str), dtype=float)
    table = numbers.join(dummies)
    return np.asarray(table.loc[:, table.nunique() > 1], float)


def _bins(values: np.ndarray, seen: np.ndarray | None) -> np.ndarray:
    """int N: as pandas' qcut numbers them, with the edges of those that are seen."""
    edges = np.quantile(values if seen is None else values[seen], np.arange(1, BINS) / BINS)
    return np.searchsorted(np.unique(edges), values)


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()
