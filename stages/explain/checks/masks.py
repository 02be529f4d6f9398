"""How much of the heat lies in what was annotated, beside what needs no model: the area there, and how bright it is.

Shapes: n images, H×W pixels, C channels
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...shared.measures.statistics import ratio

ANY = "any structure"


def regions(masks: np.ndarray, annotated: np.ndarray, structures: Sequence[str]) -> dict[str, np.ndarray]:
    """n×H×W booleans of each structure, and where there are several of all together; false where an image is not
    annotated. `masks`: n×H×W class numbers. `annotated`: n booleans."""
    known = np.where(annotated[:, None, None], masks, 0)
    own = {name: known == k for k, name in enumerate(structures, start=1)}
    return own | ({ANY: known > 0} if len(structures) > 1 else {})


def inside(maps: np.ndarray, region: np.ndarray) -> dict[str, np.ndarray]:
    """n values each, NaN of an image without the region, or without heat. energy: share of the heat inside (Wang et al.
    2020, Score-CAM). pointing: whether the hottest pixel is inside (Zhang et al. 2018); the share, of several."""
    there = region.any(axis=(1, 2))
    peaks = (maps == maps.max(axis=(1, 2), keepdims=True)) & maps.any(axis=(1, 2), keepdims=True)
    values = {}
    for name, heat in (("energy", maps.astype(float)), ("pointing", peaks.astype(float))):
        share = ratio((heat * region).sum(axis=(1, 2)), heat.sum(axis=(1, 2)))
        values[name] = np.where(there, share, np.nan)
    return values


def baselines(images: np.ndarray, region: np.ndarray) -> dict[str, np.ndarray]:
    """area: share of the pixels inside, which is what random heat has. brightness, brightest: energy and pointing of
    the image itself as a map (uint8 n×H×W×C)."""
    bright = inside(images.mean(axis=3), region)
    area = np.where(region.any(axis=(1, 2)), region.mean(axis=(1, 2)), np.nan)
    return {"area": area, "brightness": bright["energy"], "brightest": bright["pointing"]}
