"""All meters of an image set, and what they looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...shared.core.groups import groups as groups_of
from ...shared.core.task import PROBABILITY
from ..inspection import THUMBNAIL
from ..params import Shortcuts
from .evidence import Box, Evidence, all_evidence
from .meter import Reading, folds_of, out_of_fold, read

LEVEL = 0.95  # of the intervals of all meters together
MOST = 5000  # images; more make the intervals no narrower than they have to be


@dataclass(frozen=True)
class Measurement:
    """`numbers`: shortcuts.json. `scores`: one row per image and meter: path, label, group, fold, meter and the
    probability of each class. `pictures`: `means`, uint8 K×T×T, the mean thumbnail of each class; and which pixels a
    meter looks at, bool S×S, by its name."""

    numbers: Mapping[str, Any]
    scores: pd.DataFrame
    pictures: Mapping[str, np.ndarray]

    @property
    def read(self) -> list[Mapping[str, Any]]:
        """The meters that have a reading."""
        return [m for m in self.numbers["meters"] if m["reason"] is None]

    @property
    def warnings(self) -> list[str]:
        return [in_words(m) for m in self.read if m["flag"]]

    @property
    def metrics(self) -> dict[str, float]:
        """For MLflow."""
        return {f"shortcut/{m['name']}": m["auroc"] for m in self.read} | {"shortcut_warnings": len(self.warnings)}

    @property
    def table(self) -> pd.DataFrame:
        """What the check is run on: of each meter that may raise a warning, `path` (its reading in words) and `low`."""
        meters = [m for m in self.read if not m["disease"]]
        return pd.DataFrame({"path": [in_words(m) for m in meters], "low": [m["low"] for m in meters]})


def measure(
    rows: pd.DataFrame, thumbnails: Sequence[bytes], boxes: Sequence[Box], structures: Sequence[str], params: Shortcuts
) -> Measurement:
    """`rows`: of the manifest, none quarantined. `thumbnails`: of the same images, as inspections have them.
    `boxes`: of those that are annotated."""
    classes = [str(name) for name in rows["label"].cat.categories]
    chosen = sample(rows)
    rows = rows.iloc[chosen].reset_index(drop=True)
    squares = np.stack([np.frombuffer(thumbnails[i], np.uint8) for i in chosen]).reshape(-1, THUMBNAIL, THUMBNAIL)
    labels, groups = np.asarray(rows["label"].cat.codes, int), groups_of(rows["patient"], rows["cluster"])
    pictures = {"means": np.stack([mean_of(squares[labels == k]) for k in range(len(classes))])}
    about = {"bar": params.bar, "level": LEVEL, "images": len(rows), "groups": int(groups.max()) + 1}
    if len(classes) < 2:
        return Measurement(about | {"reason": "there is one class", "meters": []}, pd.DataFrame(), pictures)
    if absent := [name for k, name in enumerate(classes) if not (labels == k).any()]:
        return Measurement(about | {"reason": f"{absent[0]} has no image", "meters": []}, pd.DataFrame(), pictures)
    try:
        fold = folds_of(labels, groups)
    except ValueError as error:
        return Measurement(about | {"reason": f"{error}", "meters": []}, pd.DataFrame(), pictures)
    kinds = all_evidence(rows, squares, boxes, " and ".join(structures))
    measured = [(kind, kind.features) for kind in kinds if kind.features is not None]
    scores = {kind.name: out_of_fold(features, labels, fold, kind.learnt) for kind, features in measured}
    level = 1 - (1 - LEVEL) / len(scores)  # Bonferroni: all intervals hold at once
    meters = [
        entry(kind, read(scores[kind.name], labels, groups, level) if kind.name in scores else None, params.bar)
        for kind in kinds
    ]
    facts = rows[["path", "label"]].assign(group=groups, fold=fold)
    columns = [f"{PROBABILITY}{name}" for name in classes]
    tables = [facts.assign(meter=name).join(pd.DataFrame(own, columns=columns)) for name, own in scores.items()]
    numbers = about | {"reason": None, "folds": int(fold.max()) + 1, "meters": meters}
    pictures |= {kind.name: kind.seen for kind in kinds if kind.seen is not None}
    return Measurement(numbers, pd.concat(tables, ignore_index=True), pictures)


def sample(rows: pd.DataFrame) -> np.ndarray:
    """Positions of at most MOST images, in order: patient by patient, and of each class as many as of the others, or
    all that it has. So a rare class stays."""
    if len(rows) <= MOST:
        return np.arange(len(rows))
    patient, labels = pd.factorize(rows["patient"])[0], rows["label"].cat
    place = np.random.default_rng(0).permutation(patient.max() + 1)[patient]
    order, classes = np.argsort(place, kind="stable"), len(labels.categories)
    of_class = [order[labels.codes.iloc[order] == k][: MOST // classes] for k in range(classes)]
    return np.sort(np.concatenate(of_class))


def mean_of(thumbnails: np.ndarray) -> np.ndarray:
    """uint8 T×T, of N×T×T; black where there are none."""
    if not len(thumbnails):
        return np.zeros(thumbnails.shape[1:], np.uint8)
    return np.asarray(thumbnails.mean(axis=0).round(), np.uint8)


def entry(kind: Evidence, reading: Reading | None, bar: float) -> dict[str, Any]:
    """An entry of shortcuts.json; without a reading, why there is none."""
    about = {"name": kind.name, "title": kind.title, "about": kind.about, "disease": kind.disease}
    if reading is None or kind.features is None:
        return about | {"reason": kind.reason, "flag": False}
    flag = not kind.disease and reading.low > bar
    values = {"auroc": reading.value, "low": reading.low, "high": reading.high}
    return about | values | {"reason": None, "features": kind.features.shape[1], "flag": flag}


def in_words(meter: Mapping[str, Any]) -> str:
    return f"{meter['title']}: AUROC {meter['auroc']:.2f} [{meter['low']:.2f} to {meter['high']:.2f}]"


def union(boxes: Sequence[Box]) -> Box | None:
    """The smallest box around all of them."""
    if not boxes:
        return None
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)
