"""Which test images does the model get most wrong?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...shared.measures import anomaly, classification, segmentation
from .evidence import Evidence


def of_classes(evidence: Evidence) -> dict[str, Any]:
    """`images`: of the test split; `errors`: how many are wrong; `cases`: the most confident of these, in this order.
    Confidence is the probability of the predicted class. Of two classes it may be below 0.5: a threshold decides.
    It is not weighed by that threshold as where a model abstains: readers see it beside the image."""
    answers = classification.Answers(evidence.test)
    confidence = np.take_along_axis(answers.probabilities, answers.predicted[:, None], axis=1)[:, 0]
    rows = largest(np.where(answers.right, np.nan, confidence), evidence.params.failures)
    cases = [
        {
            **named(evidence, row),
            "predicted": answers.classes[answers.predicted[row]],
            "confidence": float(confidence[row]),
        }
        for row in rows
    ]
    return {"images": len(evidence.test), "errors": int((~answers.right).sum()), "cases": cases}


def of_masks(evidence: Evidence) -> dict[str, Any]:
    """`images`: those with a Dice; `cases`: those with the lowest, the mean over their structures. `errors`: null,
    since no Dice is wrong in itself."""
    dice = segmentation.Answers(evidence.test).image("dice")
    rows = largest(-dice, evidence.params.failures)
    cases = [{**named(evidence, row), "dice": float(dice[row])} for row in rows]
    return {"images": int(np.isfinite(dice).sum()), "errors": None, "cases": cases}


def of_alarms(evidence: Evidence) -> dict[str, Any]:
    """As `of_classes`: the misses and false alarms whose scores are farthest from the threshold."""
    answers = anomaly.Answers(evidence.test)
    distance = answers.score - evidence.test["threshold"].to_numpy(np.float64)
    rows = largest(np.where(answers.right, np.nan, np.abs(distance)), evidence.params.failures)
    cases = [
        {**named(evidence, row), "alarm": bool(answers.alarm[row]), "score": float(answers.score[row]),
         "above_threshold": float(distance[row])}
        for row in rows
    ]  # fmt: skip
    return {"images": len(evidence.test), "errors": int((~answers.right).sum()), "cases": cases}


def largest(values: np.ndarray, most: int) -> list[int]:
    """Places of the largest of N values, NaN left out; equal ones in their order."""
    return [int(row) for row in np.argsort(-values, kind="stable")[:most] if np.isfinite(values[row])]


def named(evidence: Evidence, row: int) -> dict[str, str]:
    own = evidence.test.iloc[row]
    return {"path": str(own["path"]), "label": str(own["label"])}
