"""The training images that a model takes to be most like an image.

Shapes: N training images, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Neighbour:
    """row: of the training images. cosine: between the features, 1 for equal ones."""

    row: int
    cosine: float


def unit(features: np.ndarray) -> np.ndarray:
    """float32 N×F of length 1; a row of zeros stays one."""
    values = features.astype(np.float32)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(np.divide(values, length, out=np.zeros_like(values), where=length > 0))


def nearest(features: np.ndarray, training: np.ndarray, patients: np.ndarray, count: int) -> list[Neighbour]:
    """At most `count`, the nearest first, one of each patient: two films of one patient are one case.

    `features`: F. `training`: N×F, of length 1. `patients`: N."""
    cosine = training @ unit(features[None])[0]
    found, seen = list[Neighbour](), set[object]()
    for row in np.argsort(-cosine, kind="stable"):
        if len(found) == count:
            break
        if patients[row] not in seen:
            seen.add(patients[row])
            found.append(Neighbour(int(row), float(cosine[row])))
    return found
