"""How the models were made: settings and environment, as train wrote them down."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..read import Member


def environments(members: Sequence[Member]) -> list[tuple[dict[str, str], int]]:
    """Commit, versions and hardware, and how many models were trained with them; the most frequent first."""
    counts = Counter(tuple(m.summary["environment"].items()) for m in members)
    return [(dict(items), count) for items, count in counts.most_common()]


def shared_settings(members: Sequence[Member]) -> dict[str, str]:
    """The settings of the training that all models share, under dotted names."""
    first, *others = (flatten(m.summary["settings"]) for m in members)
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def own_settings(m: Member, shared: Mapping[str, str]) -> str:
    """The settings that this model does not share with all others."""
    settings = flatten(m.summary["settings"])
    return ", ".join(f"{name}: {value}" for name, value in settings.items() if name not in shared)


def flatten(settings: Any, name: str = "") -> dict[str, str]:
    """Nested mappings become dotted names; everything else is JSON."""
    if not isinstance(settings, Mapping) or not settings:
        return {name: json.dumps(settings)}
    return {
        key: value
        for part, inner in settings.items()
        for key, value in flatten(inner, f"{name}.{part}" if name else part).items()
    }
