"""What a prediction of each model costs, as evaluate measured it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..read import Member

OF_PREDICTION = ("flops", "latency_1_ms", "latency_32_ms", "inference_mb", "energy_j")


def prediction(m: Member) -> dict[str, float | None]:
    """OF_PREDICTION: arithmetic of one image; the median milliseconds of a batch of 1 and of 32 images; the memory that
    a batch of 32 takes with the weights; joules of one image in it. None: not measured."""
    if not m.cost:
        return dict.fromkeys(OF_PREDICTION)
    latency, memory = m.cost["latency_ms"], m.cost["memory_mb"]
    values = (m.cost["flops"], latency["1"]["value"], latency["32"]["value"], memory["32"], m.cost["energy_j"]["value"])
    return dict(zip(OF_PREDICTION, values, strict=True))


def rows(members: Sequence[Member]) -> list[dict[str, Any]]:
    """For the page: the key of each model and its cost.json, the cheapest in arithmetic first."""
    return sorted(({"key": m.key, **m.cost} for m in members), key=lambda row: float(row["flops"]))


def of_page(members: Sequence[Member]) -> dict[str, Any]:
    """What cost.j2 shows."""
    sources = dict.fromkeys(str(m.cost["energy_j"]["source"]) for m in members)
    return {"costs": rows(members), "machines": machines(members), "energy_sources": list(sources)}


def machines(members: Sequence[Member]) -> list[str]:
    """That predictions were timed on, each once."""
    names = (f"{m.cost['machine']['device']}, {threads(m.cost['machine']['threads'])}" for m in members)
    return list(dict.fromkeys(names))


def threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"
