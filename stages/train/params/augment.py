"""Augmentation, by a list of steps or the name of a preset. Imports no library: every stage checks params.yaml."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from ...shared.core.errors import closest

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


def steps_of(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in PRESETS:
        guess = closest(value, PRESETS)
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise ValueError(f"{value!r} is no preset.{hint} Valid: {', '.join(PRESETS)}, or a list of steps.")
    return PRESETS[value]


Augment = Annotated[Steps, BeforeValidator(steps_of)]
"""A list of albumentations transforms; the name of a preset becomes its list."""
