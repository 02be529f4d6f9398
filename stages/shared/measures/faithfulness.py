"""What the checks of explain say of a model's heat maps, in a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

CURVES = ("deletion", "insertion")
Verdict = Literal["explains nothing", "follows it in part", "follows the model", "not tested"]
NOTHING: Verdict = "explains nothing"
PARTLY: Verdict = "follows it in part"
FOLLOWS: Verdict = "follows the model"
UNTESTED: Verdict = "not tested"


def verdict(method: Mapping[str, Any]) -> Verdict:
    """`method`: an entry of methods.json. A map explains nothing where its hottest pixels are not shown to matter more
    than random ones, or where it stays the same with shuffled weights. It follows the model where its pixels also
    matter more than edges, nothing speaks against it, and it changes with the weights."""
    if "deletion" not in method:
        return UNTESTED
    random, edges = against(method, "random"), against(method, "edges")
    changes = method["randomisation"]["verdict"]
    if "better" not in random or changes == "fails":
        return NOTHING
    doubts = "worse" in random + edges or "better" not in edges or changes != "passes"
    return PARTLY if doubts else FOLLOWS


def against(method: Mapping[str, Any], other: str) -> list[str]:
    """Of deletion and insertion: better, worse, or not shown to differ."""
    return [method[curve][f"against_{other}"]["verdict"] for curve in CURVES]
