"""All checks of the maps of one model.

Shapes: n images of the sample, H×W pixels
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ...shared.arrays.arrays import Arrays
from ...shared.measures.judge import Resampling
from ...shared.model.model import Model
from ..methods import METHODS
from ..methods.method import heat_maps, usable
from ..params import Params
from . import curves, likeness, masks, means, place, shuffled
from .estimates import Draws, Estimate, verdict
from .sample import Sample, draw

BASELINES = ("random", "edges")
PLACE = ("row", "column", "spread", "entropy", "border", "blank")
FACTS = ["path", "patient", "group", "label", "predicted", "correct"]

Maps = Mapping[str, np.ndarray]
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Examination:
    """numbers: methods.json. table: maps.parquet, a row per method and image of the sample. pictures: uint8, by the
    names of their files."""

    numbers: Mapping[str, Any]
    table: pd.DataFrame
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)


def nothing(*_: object) -> Examination:
    """Of tasks whose maps are what the model gives: evaluate judges them."""
    return Examination({"methods": {}, "skipped": {}}, pd.DataFrame({"method": [], "path": []}, dtype=str))


def examine(model: Model, arrays: Arrays, predictions: pd.DataFrame, classes: list[str], params: Params) -> Examination:
    """Raises UserError where the model can do none of the methods."""
    names, skipped = usable(params.methods, METHODS, model)
    sample = draw(predictions, classes, params.images, params.seed)
    rows = pd.Index(arrays.index["path"]).get_indexer(sample.table["path"])
    images, regions = np.asarray(arrays.images[rows]), regions_of(arrays, rows)
    maps = {name: heat_maps(METHODS[name], model, images, sample.targets) for name in names}
    columns, beside = located(maps, images, regions, sample)
    if params.checks:
        own, own_beside = tested(model, maps, images, rows, sample, params)
        columns, beside = {name: columns[name] | own[name] for name in names}, beside | own_beside
    draws = Draws(sample.weights, sample.clusters, Resampling(params.bootstrap, params.confidence, params.seed))
    methods = {
        name: {
            "label": METHODS[name].label,
            "of_class": METHODS[name].of_class,
            **numbers_of(columns[name], beside, draws, list(regions)),
            "consistency": consistency(maps[name], sample, draws),
            "agreement": agreement(name, maps, draws),
            "peaks": means.peaks(maps[name], sample, classes, regions),
        }
        for name in names
    }
    numbers = {
        "methods": methods,
        "skipped": skipped,
        "sample": {
            "images": len(sample.table),
            "patients": int(sample.table["patient"].nunique()),
            "strata": [asdict(own) for own in sample.strata],
        },
        "border": {"width": place.BORDER, "area": float(place.border(*arrays.size).mean())},
        "alike": shuffled.ALIKE,
        "settings": params.model_dump(),
    }
    facts = sample.table[FACTS].assign(weight=sample.weights)
    parts = [facts.assign(method=name, **columns[name], **beside) for name in names]
    return Examination(numbers, pd.concat(parts, ignore_index=True), means.pictures(maps, images, sample))


def regions_of(arrays: Arrays, rows: np.ndarray) -> dict[str, np.ndarray]:
    """n×H×W booleans of each structure; empty where no image of the sample is annotated."""
    annotated = arrays.index["has_mask"].to_numpy(dtype=bool)[rows]
    if arrays.masks is None or not annotated.any():
        return {}
    return masks.regions(np.asarray(arrays.masks[rows]), annotated, arrays.structures)


def located(maps: Maps, images: np.ndarray, regions: Maps, sample: Sample) -> tuple[dict[str, Columns], Columns]:
    """Columns of each method: where its heat lies, in the image and in the structures; and what lies in these without
    any map. Images that the model got wrong do not count for the structures: why it did is another question."""
    judged = {name: region & sample.correct[:, None, None] for name, region in regions.items()}
    columns = {}
    for name, own in maps.items():
        columns[name] = place.place(own) | {"blank": (~own.any(axis=(1, 2))).astype(float)}
        for structure, region in judged.items():
            columns[name] |= named(masks.inside(own, region), structure)
    beside: Columns = {}
    for structure, region in judged.items():
        beside |= named(masks.baselines(images, region), structure)
    return columns, beside


def tested(
    model: Model, maps: Maps, images: np.ndarray, rows: np.ndarray, sample: Sample, params: Params
) -> tuple[dict[str, Columns], Columns]:
    """Columns of each method: deletion, insertion, similarity to the map of the shuffled model; and the first two
    of the baselines."""
    random = curves.random_maps(rows, (images.shape[1], images.shape[2]), params.seed)
    areas = curves.areas(
        model, images, sample.targets, {**maps, "random": random, "edges": curves.edges(images)}, random, params.shares
    )
    other = shuffled.shuffled(model, images, params.seed)
    columns = {}
    for name, own in maps.items():
        again = heat_maps(METHODS[name], other, images, sample.targets)
        columns[name] = areas[name] | {"similarity": shuffled.similarity(own, again)}
    beside: Columns = {}
    for name in BASELINES:
        beside |= named(areas[name], name)
    return columns, beside


def named(values: Mapping[str, np.ndarray], of: str) -> Columns:
    return {f"{name}_{of}": column for name, column in values.items()}


def numbers_of(columns: Columns, beside: Columns, draws: Draws, structures: Sequence[str]) -> dict[str, Any]:
    """Means over the test split, with differences to the baselines on the same images."""
    values = columns | beside
    for name in ("deletion", "insertion") if "deletion" in columns else ():
        values |= {f"{name}-{other}": columns[name] - beside[f"{name}_{other}"] for other in BASELINES}
    for of in structures:
        values |= {
            f"energy-area_{of}": columns[f"energy_{of}"] - beside[f"area_{of}"],
            f"energy-brightness_{of}": columns[f"energy_{of}"] - beside[f"brightness_{of}"],
            f"pointing-brightest_{of}": columns[f"pointing_{of}"] - beside[f"brightest_{of}"],
        }
    means_of = draws.means(values)
    numbers: dict[str, Any] = {"place": {name: means_of[name] for name in PLACE}}
    if "deletion" in columns:
        numbers |= {
            "deletion": curve(means_of, "deletion", higher_is_better=False),
            "insertion": curve(means_of, "insertion", higher_is_better=True),
            "randomisation": randomisation(means_of["similarity"]),
        }
    numbers["structures"] = {
        of: {
            "images": int(np.isfinite(columns[f"energy_{of}"]).sum()),
            **{name: means_of[f"{name}_{of}"] for name in ("energy", "area", "brightness", "pointing", "brightest")},
            "against_area": judged(means_of[f"energy-area_{of}"]),
            "against_brightness": judged(means_of[f"energy-brightness_{of}"]),
            "pointing_against_brightest": judged(means_of[f"pointing-brightest_{of}"]),
        }
        for of in structures
    }
    return numbers


def curve(means_of: Mapping[str, Estimate], name: str, higher_is_better: bool) -> dict[str, Any]:
    return {
        "area": means_of[name],
        **{other: means_of[f"{name}_{other}"] for other in BASELINES},
        **{f"against_{other}": judged(means_of[f"{name}-{other}"], higher_is_better) for other in BASELINES},
    }


def judged(difference: Estimate, higher_is_better: bool = True) -> dict[str, Any]:
    return {**difference, "verdict": verdict(difference, higher_is_better)}


def randomisation(similarity: Estimate) -> dict[str, Any]:
    """passes: the maps of the shuffled model are shown to be others; fails: they are shown to be alike."""
    low, high = similarity["low"], similarity["high"]
    if low is None or high is None:
        return {**similarity, "verdict": "not shown"}
    return {
        **similarity,
        "verdict": "passes" if high < shuffled.ALIKE else "fails" if low >= shuffled.ALIKE else "not shown",
    }


def consistency(maps: np.ndarray, sample: Sample, draws: Draws) -> dict[str, Estimate]:
    correlation = likeness.correlations(maps)
    return draws.of(
        lambda counts: likeness.consistency(correlation, sample.targets, sample.clusters, counts * sample.weights)
    )


def agreement(name: str, maps: Maps, draws: Draws) -> dict[str, Estimate]:
    """Rank correlation with the maps of every other method."""
    return draws.means(
        {other: likeness.rank_correlation(maps[name], own) for other, own in maps.items() if other != name}
    )
