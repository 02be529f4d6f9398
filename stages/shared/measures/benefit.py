"""Net benefit: what acting on a probability is worth at a threshold (Vickers & Elkin 2006).

Whoever acts from a probability t on counts a needless action as t / (1 - t) of a missed one. Net benefit is the share
of right actions minus the share of needless ones at that price. Shapes: N images, T thresholds.
"""

from __future__ import annotations

import numpy as np


def terms(positive: np.ndarray, probability: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """N×T: what each image adds; their mean is the net benefit of acting where the probability reaches the threshold.
    `positive`: N booleans."""
    return np.asarray((probability[:, None] >= thresholds) * worth(positive, thresholds))


def worth(positive: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """N×T: the same of acting on every image. Acting on none is worth 0."""
    return np.where(positive[:, None], 1.0, -thresholds / (1 - thresholds))
