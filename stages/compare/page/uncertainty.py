"""What the page shows of calibration and of uncertainty: the sections of metrics.json that evaluate made, for all
models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..numbers.comparison import Study
from ..numbers.spread import over_seeds
from ..read import Member
from ..text import number

METHODS = {
    "temperature": "temperature scaling",
    "platt": "Platt’s line",
    "isotonic": "isotonic regression",
    "none": "nothing",
}


def of_page(study: Study) -> dict[str, Any]:
    """What calibration.j2 and uncertainty.j2 show. `rated`: (row of the leaderboard, the model's sections)."""
    return {
        "rated": [(row, study.by_key[row["key"]].metrics) for row in study.models.to_dict("records")],
        "calibrated": calibrated(study.ranked),
        "useful": useful(study.ranked[0]),
        "covered": covered(study.ranked),
        "spread": over_seeds(study.trained, study.by_key),
        "passes": passes(study.ranked),
    }


def calibrated(models: Sequence[Member]) -> str:
    """What calibration changed."""
    sections = [m.metrics["calibration"] for m in models]
    fitted = [s for s in sections if s["method"] != "none"]
    if not fitted:
        reasons = sorted({s["reason"] for s in sections if s["reason"]})
        return f"No model was calibrated{': ' + '; '.join(reasons) if reasons else ', as params.yaml asks'}."
    gains = sum(1 for s in fitted if excludes(s["change"]["log_loss"]) < 0)
    losses = sum(1 for s in fitted if excludes(s["change"]["log_loss"]) > 0)
    others = len(fitted) - gains - losses
    method = " and ".join(sorted({METHODS[s["method"]] for s in fitted}))
    left = f" {len(sections) - len(fitted)} could not be calibrated." if len(fitted) < len(sections) else ""
    return (
        f"On the test images, {method} makes the log loss better for {gains} of {len(fitted)} models and worse for "
        f"{losses}; {others} are not shown to differ.{left}"
    )


def excludes(estimate: Mapping[str, float]) -> int:
    """The sign of an interval that excludes zero; 0 where it includes it."""
    return int(estimate["low"] > 0) - int(estimate["high"] < 0)


def useful(first: Member) -> dict[str, str]:
    """For each class of this model: the thresholds at which acting on it is worth more than treating all or none."""
    per_class = first.metrics["decision_curve"]["per_class"]
    return {
        name: " and ".join(f"{number(low, 2)} to {number(high, 2)}" for low, high in own["useful"])
        for name, own in per_class.items()
    }


def covered(models: Sequence[Member]) -> str:
    """Whether the promise of the sets is kept on the test images."""
    sections = [m.metrics["conformal"] for m in models]
    used, promised = sections[0]["used"], sections[0]["promised"]
    coverage = [s[used]["coverage"] for s in sections]
    below, above = (
        sum(1 for c in coverage if c["high"] < promised),
        sum(1 for c in coverage if c["low"] > promised),
    )
    return (
        f"On the test images, {below} of {len(coverage)} models {'is' if below == 1 else 'are'} shown to cover less "
        f"than {number(promised, 2)}, and {above} to cover more; the intervals of the others include it."
    )


def passes(models: Sequence[Member]) -> list[tuple[Member, str, Mapping[str, Any]]]:
    """(model, kind of passes, its numbers) of the models that predicted more than once."""
    return [
        (m, kind, own)
        for m in models
        for kind, own in m.metrics["uncertainty"].items()
        if isinstance(own, Mapping) and "passes" in own
    ]
