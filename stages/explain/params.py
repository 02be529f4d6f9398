"""What a user may say about heat maps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..shared.core.settings import Settings


class Params(Settings):
    method: Literal["grad_cam"] = "grad_cam"
    """Selvaraju et al. 2017; it passes the model-randomisation check of Adebayo et al. 2018."""
    right: Annotated[int, Field(ge=0)] = 2
    """Correctly predicted test images shown of each class."""
    wrong: Annotated[int, Field(ge=0)] = 2
    """Wrongly predicted test images shown of each class."""
    choose: Literal["random", "confident", "uncertain"] = "random"
    """Which ones: `random` shows typical cases, `confident` the highest probabilities, `uncertain` the lowest."""
    outlines: Annotated[int, Field(ge=0)] = 2
    """Segmentation: test images shown with the best Dice, as many with a median one, and as many with the worst."""
    scores: Annotated[int, Field(ge=0)] = 2
    """Anomaly detection: test images shown with the highest score, as many with a median one, and as many with the
    lowest, of the normal images and of the others."""
    common: Annotated[int, Field(ge=0)] = 6
    """Segmentation and anomaly detection: random test images that are shown of every model."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the random choice."""
