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
LOG_PROBABILITY = "logit_"
"""Before the name of a class: those with their logarithms, float32. Unlike the probabilities, they do not round to 0
and 1 where a model is certain. Logits are known up to a constant alone, and these are one choice of it."""
CALIBRATED = "calibrated_"
"""The same, of probabilities that evaluate calibrated on the validation images."""
IN_SET = "in_set_"
"""Before the name of a class: whether it is in the image's conformal set."""
THRESHOLD = "threshold"
"""Of two classes, the column with the threshold of the positive one; of more, before _ and the name of each."""
OF_ANSWERS = ("predicted", THRESHOLD, PROBABILITY, LOG_PROBABILITY, CALIBRATED, IN_SET, "mc_dropout_", "tta_")
"""How the names of those columns of a prediction table begin that are a model's answers."""
