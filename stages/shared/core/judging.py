"""How predictions are judged: the `evaluate` section of params.yaml, which the floors are judged by as well."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .settings import Settings


class Threshold(Settings):
    rule: Literal["youden", "normal_quantile"] = "youden"
    """youden: where sensitivity + specificity is highest. normal_quantile: above so many normal images that a further
    one, of the same kind, is a false alarm with at most the probability `false_alarms`, whatever the anomalies are."""
    false_alarms: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Of normal_quantile. A share of 0.05 needs 19 normal validation images, 0.01 needs 99."""


class Judging(Settings):
    """The `evaluate` section."""

    bootstrap: Annotated[int, Field(ge=100)] = 10_000
    """Bootstrap draws of the test patients behind each interval: so many that another seed hardly moves it."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Coverage of the intervals."""
    surface_tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.005
    """Segmentation: how far a boundary may be off and still count as right in the surface Dice, as a share of the
    diagonal of the image, so that it means the same at every size; at least one pixel. 0.005 is about 3 mm on a chest
    film of 35 × 43 cm, and 1.6 px of an image of 224 × 224."""
    threshold: Threshold = Threshold()
    """Anomaly detection: from which score on an image is an alarm. Chosen on the validation images alone."""
