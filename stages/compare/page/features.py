"""What the page shows of the features: a map with thumbnails, neighbours of wrong cases, suspected leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ...shared.figures.style import BAD, GOOD, GRID, colours
from ..figures.embedding import USE_COLOURS, USES
from ..numbers import embeddings
from ..numbers.comparison import Study
from ..read import Data, Member
from . import pictures

POINTS = 400  # images on the page's map: one sheet of thumbnails serves all models
THUMB = 48  # pixels of one on the sheet
SMALL = 72  # pixels of a neighbour
WIDTH, HEIGHT = 1000, 720  # of the map's coordinates
PAIRS = 12  # suspected leaks that are shown


def of_page(study: Study, shown: Sequence[Member]) -> dict[str, Any]:
    """What features.j2 shows. `shown`: the models that the map can show, the first one first. `thinned`: the page shows
    fewer images than a map was computed with."""
    labels = study.data.index.set_index("path")["label"].astype(str)
    images, classes = _images(shown, study.params.seed), [str(name) for name in study.data.meta["classes"]]
    rows = pd.Index(study.data.index["path"]).get_indexer(images)
    columns = int(np.ceil(len(images) ** 0.5))
    pairs = embeddings.leaks(study.ranked)
    drawn = {
        "classes": classes,
        "columns": columns,
        "paths": images,
        "label": [classes.index(labels[path]) for path in images],
        "models": {str(m.key): _places(m, images, classes) for m in shown},
        "colours": {
            "class": [[name, colour] for name, colour in colours(classes).items()],
            "split": [[USES[name], USE_COLOURS[name]] for name in USES],
            "prediction": [["not judged", GRID], ["right", GOOD], ["wrong", BAD]],
        },
    }
    return {
        "map": drawn,
        "thinned": len(images) < max(len(m.points) for m in shown),
        "sheet": pictures.data_uri(_sheet(study.data, rows, columns), columns * THUMB),
        "votes": study.votes.to_dict("records"),
        "leaks": [_pair(row, study.data) for row in pairs.head(PAIRS).to_dict("records")],
        "leaks_in_all": len(pairs),
        "expected_leaks": sum(m.embed["leaks"]["false_alarms"] for m in study.ranked),
    }


def _images(shown: Sequence[Member], seed: int) -> list[str]:
    """Paths that every model has on its maps: test images first, then validation, then the others."""
    first = shown[0].points
    common = set.intersection(*(set(m.points["path"]) for m in shown))
    rank = first["use"].map({"test": 0, "val": 1}).fillna(2).to_numpy()
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(rank[order], kind="stable")]
    order = order[first["path"].iloc[order].isin(common).to_numpy()]
    judged, others = (
        [str(path) for path in first["path"].iloc[order[rank[order] < 2]]],
        [str(path) for path in first["path"].iloc[order[rank[order] == 2]]],
    )
    chosen = judged[: max(POINTS // 2, POINTS - len(others))]
    return chosen + others[: POINTS - len(chosen)]


def _places(m: Member, images: Sequence[str], classes: Sequence[str]) -> dict[str, list[int]]:
    """Coordinates of each kind of map in whole numbers that fill the map, use and prediction as numbers; -1: none."""
    points = m.points.set_index("path").loc[list(images)]
    places: dict[str, list[int]] = {}
    for kind in ("tsne", "pca"):
        at = points[[f"{kind}_x", f"{kind}_y"]].to_numpy(float)
        share = (at - at.min(axis=0)) / np.maximum(np.ptp(at, axis=0), 1e-12)
        places[f"{kind}_x"] = (WIDTH * share[:, 0]).round().astype(int).tolist()
        places[f"{kind}_y"] = (HEIGHT * (1 - share[:, 1])).round().astype(int).tolist()
    places["use"] = [list(USES).index(use) for use in points["use"]]
    predicted = points["predicted"] if "predicted" in points else pd.Series([None] * len(points))
    places["predicted"] = [classes.index(name) if isinstance(name, str) else -1 for name in predicted]
    return places


def _sheet(data: Data, rows: np.ndarray, columns: int) -> Image.Image:
    """All thumbnails, row by row."""
    sheet = Image.new("RGB" if data.images.shape[3] == 3 else "L", (columns * THUMB, columns * THUMB))
    for i, row in enumerate(rows):
        thumb = Image.fromarray(np.asarray(data.images[row]).squeeze())
        thumb.thumbnail((THUMB, THUMB), Image.Resampling.LANCZOS)
        sheet.paste(thumb, (i % columns * THUMB, i // columns * THUMB))
    return sheet


def thumb(path: str, data: Data, side: int = SMALL) -> dict[str, str]:
    row = data.index.index[data.index["path"] == path][0]
    image = Image.fromarray(np.asarray(data.images[row]).squeeze())
    return {"path": path, "label": str(data.index["label"][row]), "image": pictures.data_uri(image, side)}


def _pair(row: Mapping[str, Any], data: Data) -> dict[str, Any]:
    return {**row, "first": thumb(str(row["path"]), data), "second": thumb(str(row["other"]), data)}


def reminders(m: Member, path: str, data: Data) -> list[dict[str, Any]]:
    """The training images that a test image is most like: path, label, image, cosine."""
    rows = m.neighbours[m.neighbours["path"] == path].sort_values("rank")
    return [{**thumb(str(row.neighbour), data), "cosine": float(row.cosine)} for row in rows.itertuples()]
