"""The names of the tasks, and what they need. shared/tasks has how they train, shared/measures how they are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["classification", "segmentation", "anomaly"]


@dataclass(frozen=True)
class Needs:
    """`classes`: the least number of them. `masks`: only annotated images train, validate and test."""

    classes: int
    masks: bool = False


NEEDS = {
    "classification": Needs(classes=2),
    "segmentation": Needs(classes=1, masks=True),
    "anomaly": Needs(classes=2),  # the first is the normal one
}
"""What a task needs of the images."""

PROBABILITY = "prob_"
"""Before the name of a class: the columns of a prediction table with the probabilities."""
CALIBRATED = "calibrated_"
"""The same, of probabilities that evaluate calibrated on the validation images."""
IN_SET = "in_set_"
"""Before the name of a class: whether it is in the image's conformal set."""
OF_ANSWERS = ("predicted", PROBABILITY, CALIBRATED, IN_SET)
"""How the names of those columns of a prediction table begin that are a model's answers."""
