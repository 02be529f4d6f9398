"""What speaks for a class, laid over the image.

Shapes: K classes, H×W the input of the model, h×w the image of the file or the cells of a map, C channels.
"""

from __future__ import annotations

import numpy as np

from ...shared.arrays.preprocessing import Preprocessor, resize, restore
from ...shared.figures.style import HEAT


def evidence(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 K×H×W from 0 to 1: where the image speaks for a class and against the others, as shares of its largest
    value; all 0 where nothing does. `cells`: class activations K×h×w. Only their differences count: what is added to
    all classes alike changes no probability."""
    others = (cells.sum(axis=0, keepdims=True) - cells) / max(len(cells) - 1, 1)
    positive = np.maximum(cells - others, 0).astype(np.float32)
    highest = positive.max(axis=(1, 2), keepdims=True)
    shares = np.divide(positive, highest, out=np.zeros_like(positive), where=highest > 0)
    return np.stack([resize(own, size, interpolation="cubic").clip(0, 1) for own in shares])


def on_film(heat: np.ndarray, film: np.ndarray, preprocessor: Preprocessor) -> np.ndarray:
    """The heat H×W at the size of the film h×w×C; where the steps may have moved pixels, there is no way back, and the
    film has to be the image that the model saw."""
    if heat.shape == film.shape[:2]:
        return heat
    return restore(heat, (film.shape[0], film.shape[1]), preprocessor.spec)


def overlay(film: np.ndarray, heat: np.ndarray, opacity: float) -> np.ndarray:
    """uint8 h×w×3: where the heat is 0 the film is as it was; where it is 1, `opacity` of it is colour."""
    import matplotlib

    grey = film.astype(np.float32) if film.shape[2] == 3 else np.repeat(film, 3, axis=2).astype(np.float32)
    colour = matplotlib.colormaps[HEAT](0.3 + 0.6 * heat)[..., :3].astype(np.float32) * 255
    share = (opacity * heat**1.5)[..., None]  # what says little stays nearly clear
    return np.asarray(np.rint(grey * (1 - share) + colour * share), np.uint8)
