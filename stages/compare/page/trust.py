"""What the checks say of a model's heat maps, in words: the line that stands beside the maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...shared.measures.faithfulness import CURVES, FOLLOWS, NOTHING, PARTLY, UNTESTED, against, verdict
from .. import text

ANY = "any structure"  # of masks with several: all together


def line(method: Mapping[str, Any]) -> str:
    """One paragraph: each number that there is, and at the end what follows."""
    sentences = [*tested(method), *structures(method), *places(method)]
    name = method["label"][:1].upper() + method["label"][1:]
    return " ".join([f"{name}.", *sentences, CONCLUSIONS[verdict(method)]])


CONCLUSIONS = {
    NOTHING: "This map explains nothing here. Another method may: see explain.methods in params.yaml.",
    PARTLY: "The map follows the model in part.",
    FOLLOWS: "The map follows what the model reads. Whether that is a valid reason it does not say.",
    UNTESTED: "Whether the map follows the model was not tested (explain.checks).",
}


def tested(method: Mapping[str, Any]) -> list[str]:
    if "deletion" not in method:
        return []
    random, edges = against(method, "random"), against(method, "edges")
    of_curves = ", ".join(f"{curve} {word}" for curve, word in zip(CURVES, random, strict=True))
    if random[0] == random[1]:
        of_curves = f"{' and '.join(CURVES)} {random[0]}"
    more = "matter more than" if "better" in random else "are not shown to matter more than"
    sentences = [f"Its hottest pixels {more} random ones ({of_curves})."]
    if "better" in random and "better" not in edges:
        sentences.append("They are not shown to matter more than edges.")
    alike = text.number(method["randomisation"]["value"], 2)
    sentences.append(
        {
            "passes": f"With shuffled weights the map is another one (rank correlation {alike}), as it should be.",
            "fails": f"With shuffled weights the map stays much the same (rank correlation {alike}): it shows the "
            "image and not the model.",
            "not shown": f"Whether the map changes with shuffled weights is not shown (rank correlation {alike}).",
        }[method["randomisation"]["verdict"]]
    )
    return sentences


def structures(method: Mapping[str, Any]) -> list[str]:
    """Of each structure: the share of the heat in it, beside its area and the brightness in it."""
    return [
        f"{percent(own['energy'])} of the heat lies in {the(name)}, which covers {percent(own['area'])} of the image "
        f"and has {percent(own['brightness'])} of its brightness."
        for name, own in method["structures"].items()
        if own["energy"]["value"] is not None
    ]


def places(method: Mapping[str, Any]) -> list[str]:
    """Where the mean maps are hottest."""
    if not method["peaks"]:
        return []
    parts = [
        f"{peak['where']}{' of the image' * (not i)} for {peak['predicted']}{outside(peak['inside'])}"
        for i, peak in enumerate(method["peaks"])
    ]
    return [f"The mean map is hottest in {', and in '.join(parts)}."]


def outside(inside: Mapping[str, float | None]) -> str:
    """Of the structures; nothing where there are none, or the place is in one of them in half of the images."""
    known = {name: share for name, share in inside.items() if share is not None}
    if not known or max(known.values()) >= 0.5:
        return ""
    names = [the(name) for name in known if name != ANY]
    return f" (outside {' and '.join(names)})"


def the(structure: str) -> str:
    return structure if structure == ANY else f"the {structure}"


def percent(estimate: Mapping[str, float | None]) -> str:
    value = estimate["value"]
    return text.DASH if value is None else f"{100 * value:.0f}%"
