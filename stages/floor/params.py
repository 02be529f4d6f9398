"""What a user may say about the floors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..shared.core.judging import Judging
from ..shared.core.settings import Settings
from ..shared.core.task import TaskName

Floor = Literal["majority", "file", "border", "pixels", "hog"]


class Params(Settings):
    task: TaskName
    """What the models are trained for (the top-level `task`)."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the resampling (the top-level `seed`)."""
    evaluate: Judging
    """How predictions are judged (the section `evaluate`): as those of the models are."""
    models: list[Floor] = Field(default=["majority", "file", "border", "pixels", "hog"])
    """majority: the share of each class in the training images, for every image. The others are logistic regressions.
    file: size, proportions, mode, format and JPEG quality of the file. border: the frame of the image. pixels: 16 × 16
    grey levels. hog: histograms of oriented gradients. Task segmentation has one floor, the mean mask of the training
    images, whatever is named here. An empty list: no floor."""
