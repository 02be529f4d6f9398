"""The bytes of a mask file -> which pixels belong to its structure."""

from __future__ import annotations

import numpy as np

from .decode import decode, to_array


def grey_levels(data: bytes, name: str) -> np.ndarray:
    """uint8 h×w.

    Raises:
        UnreadableImage: see `decode`.
    """
    return to_array(decode(data, name), "grey")[..., 0]


def inside(grey: np.ndarray, invert: bool, threshold: int) -> np.ndarray:
    """bool h×w: where the grey level, inverted if so, is above `threshold`."""
    return np.asarray((255 - grey if invert else grey) > threshold)
