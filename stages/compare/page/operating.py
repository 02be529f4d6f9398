"""What the page says of operating points: the rule in words, and the rates at each threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..read import Member

MOST_PROBABLE = "for the most probable class"


def in_words(rule: str, settings: Mapping[str, Any]) -> str:
    """Where a rule of evaluate.operating_point puts the threshold."""
    words = {
        "youden": "at Youden’s point of the validation images",
        "sensitivity": f"at a validation sensitivity of at least {100 * settings['sensitivity']:g}%",
        "specificity": f"at a validation specificity of at least {100 * settings['specificity']:g}%",
        "cost": f"at the least cost on validation, where a miss costs {settings['miss_cost']:g} false alarms",
        "normal_quantile": f"at no more than {100 * settings['false_alarms']:g}% promised false alarms",
    }
    return words.get(rule, f"at a probability of {rule}")


def decided(m: Member) -> str:
    """What the metrics of the predicted class rest on; empty where a model predicts no class."""
    own = m.metrics.get("operating_point")
    if own is None:
        return ""
    return MOST_PROBABLE if "per_class" in own else in_words(own["rule"], own["settings"])


def points(m: Member) -> list[dict[str, Any]]:
    """The points of a model, one for each positive class: as metrics.json has them, with `rules`: (words, point) of the
    rule that was chosen, and of all others."""
    own = m.metrics.get("operating_point")
    if own is None:
        return []
    of_classes = list(own["per_class"].values()) if "per_class" in own else [own]
    return [
        {**point, "rules": [(in_words(rule, own["settings"]), each) for rule, each in rules(own["rule"], point)]}
        for point in of_classes
    ]


def rules(chosen: str, point: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(chosen, point), *point["others"].items()]


def of_models(models: Sequence[Member]) -> dict[str, Any]:
    """`decided`: in words; `points`: by key."""
    return {"decided": decided(models[0]), "points": {str(m.key): points(m) for m in models}}
