"""Where models look: the checks of their heat maps as a table, and mean maps of each class and outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...shared.core import paths
from ...shared.measures import faithfulness
from ..numbers.comparison import Study
from ..read import Member
from . import pictures, trust

SIDE = 96  # pixels of a mean map: as explain wrote it


def of_page(study: Study, shown: Sequence[Member]) -> dict[str, Any]:
    """What where.j2 shows. looks: a row per model and method. skipped: (method, reason, models). mean_maps: a row per
    method and model of `shown`, with the pictures of each class and outcome, or none. trust: key -> its lines."""
    models = [m for m in study.ranked if m.kind == "model"]
    looks = [row(m, name, own) for m in models for name, own in m.methods["methods"].items()]
    return {
        "looks": looks,
        "structures": list(dict.fromkeys(name for look in looks for name in look["structures"])),
        "several_methods": len({look["method"] for look in looks}) > 1,
        "skipped": skipped(models),
        "outcomes": outcomes(models),
        "mean_maps": [means(m, name) for m in shown for name in m.methods["methods"]],
        "trust": {str(m.key): [trust.line(own) for own in m.methods["methods"].values()] for m in shown},
    }


def row(m: Member, name: str, own: Mapping[str, Any]) -> dict[str, Any]:
    others = [estimate["value"] for estimate in own["agreement"].values() if estimate["value"] is not None]
    return {
        "key": m.key,
        "method": name,
        **own,
        "tested": "deletion" in own,
        "agreement": sum(others) / len(others) if others else None,
        "verdict": faithfulness.verdict(own),
    }


def skipped(models: Sequence[Member]) -> list[tuple[str, str, int]]:
    """Methods that networks cannot do: (name in params.yaml, reason, models)."""
    reasons = [entry for m in models for entry in m.methods["skipped"].items()]
    return [(name, reason, reasons.count((name, reason))) for name, reason in dict.fromkeys(reasons)]


def outcomes(models: Sequence[Member]) -> list[tuple[str, bool, str | None]]:
    """(class, right, TP and the like) of every class and outcome that a sample has, in order."""
    strata = [own for m in models if m.methods["methods"] for own in m.methods["sample"]["strata"]]
    named = {(own["label"], own["correct"]): own["outcome"] for own in strata}
    classes = models[0].answers.classes
    return [(*kind, named[kind]) for kind in sorted(named, key=lambda kind: (classes.index(kind[0]), not kind[1]))]


def means(m: Member, method: str) -> dict[str, Any]:
    """pictures: (class, right) -> the mean map over the mean image, the images of the sample and how many there are."""
    folder = paths.report_dir("explain", m.key) / "means"
    cells = {}
    for k, own in enumerate(m.methods["sample"]["strata"]):
        image = pictures.read(folder / "image" / f"{k}.png")
        heat = pictures.overlay(image, pictures.read(folder / method / f"{k}.png"))
        cells[own["label"], own["correct"]] = {**own, "uri": pictures.data_uri(heat, SIDE)}
    own = m.methods["methods"][method]
    return {"key": m.key, "label": own["label"], "border": own["place"]["border"], "pictures": cells}
