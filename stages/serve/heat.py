"""What speaks for a class, laid over an image: class activation maps, which the export carries.

Shapes: K classes, h×w cells, H×W the image that is shown, C channels.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..shared.arrays.preprocessing import resize

OPACITY = 0.5  # of the colour where the evidence is largest


def evidence(cells: np.ndarray, k: int) -> np.ndarray:
    """float32 h×w from 0 to 1: where the image speaks for class k and against the others, as shares of the largest
    value; all 0 where nothing does. `cells`: K×h×w. Only differences between classes count: what is added to all of
    them changes no probability."""
    others = (cells.sum(axis=0) - cells[k]) / max(len(cells) - 1, 1)
    positive = np.maximum(cells[k] - others, 0).astype(np.float32)
    highest = float(positive.max())
    return np.asarray(positive / highest) if highest > 0 else positive


def overlay(image: np.ndarray, heat: np.ndarray, opacity: float = OPACITY) -> np.ndarray:
    """uint8 H×W×3, RGB. image: uint8 H×W×C. heat: H×W from 0 to 1; where it is 0 the image stays as it is."""
    colour = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]  # B, G, R
    film = image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)
    share = opacity * heat[..., None]
    return np.asarray(np.rint(film * (1 - share) + colour * share), np.uint8)


def png(image: np.ndarray, heat: np.ndarray) -> bytes:
    """Of the overlay, H×W. heat: h×w cells."""
    height, width = image.shape[:2]
    drawn = overlay(image, resize(heat, (height, width), interpolation="cubic").clip(0, 1))
    done, encoded = cv2.imencode(".png", drawn[..., ::-1])
    assert done
    return encoded.tobytes()
