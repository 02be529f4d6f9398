"""Augmentation by the name of a preset. Imports no library: params.yaml is checked by every stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...shared.core.errors import unknown

Steps = list[str | dict[str, Any]]

PRESETS: dict[str, Steps] = {
    # Chest films. A flip puts the heart on the other side: leave it out where the side is the finding.
    "films": [
        {"Rotate": {"limit": [-15, 15], "p": 0.7}},
        {"HorizontalFlip": {"p": 0.5}},
        {"RandomBrightnessContrast": {"brightness_limit": [-0.2, 0.2], "contrast_limit": [-0.2, 0.2], "p": 0.5}},
        {"GaussianBlur": {"blur_limit": 0, "sigma_limit": [0.4, 1.0], "p": 0.2}},
        {
            "CoarseDropout": {
                "num_holes_range": [1, 4],
                "hole_height_range": [0.05, 0.15],
                "hole_width_range": [0.05, 0.15],
                "fill": 0,
                "p": 0.3,
            }
        },
    ],
    # Slices of MRI: scanners differ in sharpness, heads in tilt. Lightness 1 keeps the mean grey level.
    "mri": [
        {"Rotate": {"limit": [-15, 15], "p": 0.7}},
        {"Sharpen": {"alpha": [0.1, 0.4], "lightness": [1.0, 1.0], "p": 0.5}},
    ],
}


def steps(augment: str | Sequence[str | dict[str, Any]], where: str = "params.yaml: train.augment") -> Steps:
    """The steps of a preset, or those given. Raises UserError for an unknown preset."""
    if not isinstance(augment, str):
        return list(augment)
    if augment not in PRESETS:
        raise unknown(where, augment, PRESETS)
    return list(PRESETS[augment])
