"""A mask file decoded once: its size, its grey levels, and how much of it belongs to the structure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from ..shared.images.decode import UnreadableImage
from ..shared.images.mask import grey_levels, inside
from .masks import MaskFile

FRINGE = 16  # of 255 levels: how far JPEG and interpolation move a level
FLAT = 8  # of 255 levels in 3×3 pixels: an area, not the slope between two areas
AREA = 32, 0.0005  # pixels, and share of the mask, that one level has to fill to count


@dataclass(frozen=True)
class MaskInspection:
    """One mask; where it is unreadable `fault` says why, and the rest is None."""

    sha256: str
    fault: str | None = None
    width: int | None = None
    height: int | None = None
    levels: tuple[int, ...] | None = None
    """Grey levels that fill areas, darkest first."""
    share: float | None = None
    """Of the pixels that belong to the structure."""
    border: float | None = None
    """The same of the outermost pixels."""
    box: tuple[float, float, float, float] | None = None
    """Left, top, right and bottom of the structure, as shares of width and height; None where there is none."""


def inspect_mask(data: bytes, file: MaskFile) -> MaskInspection:
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        grey = grey_levels(data, file.path)
    except UnreadableImage as error:
        return MaskInspection(sha256, error.reason)
    structure = inside(grey, file.invert, file.threshold)
    frame = np.concatenate([structure[0], structure[-1], structure[:, 0], structure[:, -1]])
    height, width = grey.shape
    shares = float(structure.mean()), float(frame.mean())
    return MaskInspection(sha256, None, width, height, areas(grey), *shares, box(structure))


def box(structure: np.ndarray) -> tuple[float, float, float, float] | None:
    left, top, width, height = cv2.boundingRect(structure.view(np.uint8))
    if not width:
        return None
    rows, columns = structure.shape
    return left / columns, top / rows, (left + width) / columns, (top + height) / rows


def areas(grey: np.ndarray) -> tuple[int, ...]:
    """The grey levels that fill areas of a mask, uint8 h×w: its darkest and lightest one, and between them those of
    pixels whose neighbours have their level too. The greys that JPEG or interpolation leave along an outline are a
    slope, and do not count."""
    low, high = (int(level) for level in cv2.minMaxLoc(grey)[:2])
    if low == high:
        return (low,)
    unit = (high - low) / 255
    between = (grey > low + FRINGE * unit) & (grey < high - FRINGE * unit)
    least = max(AREA[0], AREA[1] * grey.size)
    if between.sum() < least:
        return low, high
    square = np.ones((3, 3), np.uint8)
    flat = cv2.subtract(cv2.dilate(grey, square), cv2.erode(grey, square)) <= FLAT * unit
    counts = np.bincount(grey[between & flat], minlength=256)
    levels = {low, high}
    while counts.max() and len(levels) < 256:
        level = int(counts.argmax())
        near = slice(max(0, int(np.ceil(level - FRINGE * unit))), int(level + FRINGE * unit) + 1)
        if counts[near].sum() >= least:
            levels.add(level)
        counts[near] = 0
    return tuple(sorted(levels))
