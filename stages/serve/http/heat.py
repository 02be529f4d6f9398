"""What speaks for a class, as a picture: class activation maps, which the export carries.

Shapes: K classes, h×w cells, H×W the image that the model saw, C channels.
"""

from __future__ import annotations

import cv2
import numpy as np

from ...shared.arrays.preprocessing import resize

OPACITY = 0.5  # of the colour where the evidence is largest


def evidence(cells: np.ndarray, k: int) -> np.ndarray:
    """float32 h×w from 0 to 1: where the image speaks for class k and against the others, as shares of the largest
    value; all 0 where nothing does. `cells`: K×h×w. Only differences between classes count: what is added to all of
    them changes no probability."""
    others = (cells.sum(axis=0) - cells[k]) / max(len(cells) - 1, 1)
    positive = np.maximum(cells[k] - others, 0).astype(np.float32)
    highest = float(positive.max())
    return np.asarray(positive / highest) if highest > 0 else positive


def overlay(image: np.ndarray, heat: np.ndarray) -> bytes:
    """PNG, H×W. image: uint8 H×W×C. heat: h×w from 0 to 1; where it is 0 the image stays as it is."""
    height, width = image.shape[:2]
    share = resize(heat, (height, width), interpolation="cubic").clip(0, 1)
    colour = cv2.applyColorMap(np.rint(share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)  # B, G, R
    film = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if image.shape[2] == 1 else cv2.COLOR_RGB2BGR)
    opacity = OPACITY * share[..., None]
    done, png = cv2.imencode(".png", np.rint(film * (1 - opacity) + colour * opacity).astype(np.uint8))
    assert done
    return png.tobytes()
