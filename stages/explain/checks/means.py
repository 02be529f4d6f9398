"""Mean maps: of each class and outcome as pictures, and where they are hottest for each predicted class.

Shapes: n images of the sample, H×W pixels
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from . import place
from .sample import Sample

SIDE = 96  # pixels of the longer side of a picture, at most


def picture(values: np.ndarray) -> np.ndarray:
    """H×W (×C) in 0…255 -> uint8 of at most SIDE pixels."""
    shrink = min(1.0, SIDE / max(values.shape[:2]))
    size = (max(1, round(values.shape[1] * shrink)), max(1, round(values.shape[0] * shrink)))
    small = cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(small.round().clip(0, 255), np.uint8)


def pictures(maps: Mapping[str, np.ndarray], images: np.ndarray, sample: Sample) -> dict[str, np.ndarray]:
    """Of each stratum the mean image, means/image/<number>.png, and the mean map of each method,
    means/<method>/<number>.png, as bright as its hottest pixel allows."""
    files = {}
    for k in range(len(sample.strata)):
        own = (sample.table["stratum"] == k).to_numpy()
        files[f"means/image/{k}.png"] = picture(images[own].mean(axis=0))
        for name, every in maps.items():
            heat = every[own].mean(axis=0)
            files[f"means/{name}/{k}.png"] = picture(255 * heat / max(float(heat.max()), 1e-9))
    return files


def peaks(
    maps: np.ndarray, sample: Sample, classes: Sequence[str], regions: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Where the mean map of the images that are predicted to be of a class is hottest, for each class that is
    predicted. row, column: shares of the height and width. inside: share of these images with the structure at that
    place, of those that have it anywhere; None: none has."""
    found: list[dict[str, Any]] = []
    for k, name in enumerate(classes):
        own = sample.targets == k
        if not own.any():
            continue
        heat = np.average(maps[own], axis=0, weights=sample.weights[own])
        if not heat.any():
            continue
        rows, columns = np.nonzero(heat == heat.max())
        row, column = int(np.median(rows)), int(np.median(columns))
        shares = ((row + 0.5) / heat.shape[0], (column + 0.5) / heat.shape[1])
        found.append(
            {
                "predicted": name,
                "row": shares[0],
                "column": shares[1],
                "where": place.name_of(*shares),
                "inside": {structure: share_inside(region[own], row, column) for structure, region in regions.items()},
            }
        )
    return found


def share_inside(region: np.ndarray, row: int, column: int) -> float | None:
    there = region.any(axis=(1, 2))
    return float(region[there, row, column].mean()) if there.any() else None
