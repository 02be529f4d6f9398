"""Numbers in plain sentences. No Streamlit here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...shared.core.words import listed
from ...shared.exported.decision import Estimate
from .thresholds import Count

NEEDS_MASK = (
    "This model learned from images that were cropped to a mask, so it needs a mask with each image, and this page "
    "takes none. `python -m stages serve` does: send the mask beside the image (docs/serving.md)."
)
LIMITS = "This is research software, and its model was tested on the images of one study only."


def percent(share: float) -> str:
    """Whole percent; never 0% or 100%, which would sound like certainty."""
    if math.isnan(share):
        return "–"
    if share < 0.01:
        return "under 1%"
    return "over 99%" if share > 0.99 else f"{100 * share:.0f}%"


def estimate(of: Estimate, percents: bool = True) -> str:
    """91% (81–96%), or 0.925 (0.861–0.957)."""
    if of.value is None:
        return "not defined"
    low, high = of.low, of.high
    if percents:
        ends = "" if low is None or high is None else f" ({100 * low:.0f}–{100 * high:.0f}%)"
        return f"{100 * of.value:.0f}%{ends}"
    ends = "" if low is None or high is None else f" ({low:.3f}–{high:.3f})"
    return f"{of.value:.3f}{ends}"


def count(of: Count) -> str:
    """70 of 77 (91%)."""
    return f"{of.hits:,} of {of.images:,} ({100 * of.share:.0f}%)" if of.images else "no such image"


def meaning(name: str, probability: float, near: Count | None) -> str:
    """What a calibrated probability says, and what became of test images with a similar one."""
    hundred = max(1, min(99, round(100 * probability)))
    text = f"Calibrated: of 100 such images, about {hundred} show {name}, if the patients are like those of the study."
    if near is None:
        return text
    return f"{text} On the test images with a similar value, {count(near)} did."


def prediction_set(names: Sequence[str], classes: Sequence[str], coverage: float) -> str:
    """Which classes cannot be ruled out. `coverage`: the promised probability that the true class is in the set."""
    promise = f"The true class is in this set for {percent(coverage)} of similar images."
    if not names:
        return "No class: the image is unlike those that the model was tested on."
    if len(names) == len(classes):
        return f"Nothing is ruled out: {listed(names, 'or')}. {promise}"
    return f"{listed(names, 'or')}. {promise}"


def abstention(abstain: bool, share: float) -> str:
    """`share`: of the validation images that the model leaves to a human."""
    if abstain:
        return f"No. The model is as unsure as on its {percent(share)} least certain images: leave this one to a human."
    return f"Yes. The model leaves the {percent(share)} least certain images to a human; this is none of them."


def neighbours(labels: Sequence[str]) -> str:
    """Labels of the nearest training images."""
    counts = {name: list(labels).count(name) for name in dict.fromkeys(labels)}
    parts = [f"{number} {name}" for name, number in sorted(counts.items(), key=lambda item: -item[1])]
    return f"{listed(parts)}. One image of each patient, labelled in the study."
