"""Anomaly detection: the highest, the median and the lowest scores, of the normal test images and of the others, with
the map of each image, and what an autoencoder drew; and some images that every model shows.

Shapes: n cases, H×W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...shared.arrays.arrays import Arrays
from ...shared.figures.style import BAD, GOOD, HEAT, MUTED, figure
from ...shared.model import detectors
from ...shared.model.model import Model
from ...shared.model.predict import batched
from ..params import Params
from .cases import Pictures
from .middle import middle_first

COMMON = "common"
HOTTEST = 98  # percentile of the pixels that the brightest colour of a map stands for


def choose(predictions: pd.DataFrame, classes: list[str], params: Params) -> pd.DataFrame:
    """Adds `anomalous` and `kind`: highest, median, lowest, of the normal images and then of the others, at most one
    image of a patient in each; then `common`, random images of both by turns, which depend on no score."""
    test = predictions[predictions["split"] == "test"].sort_values("path", ignore_index=True)
    test = test.assign(anomalous=test["label"].astype(str) != classes[0])
    parts = []
    for anomalous in (False, True):
        ordered = test[test["anomalous"] == anomalous].sort_values(["score", "path"], kind="stable")
        orders = {"highest": ordered.iloc[::-1], "median": middle_first(ordered), "lowest": ordered}
        parts += [rows.drop_duplicates("patient").head(params.scores).assign(kind=k) for k, rows in orders.items()]
    order = np.random.default_rng(params.seed).permutation(len(test))
    shuffled = test.iloc[order].drop_duplicates("patient")
    turns = shuffled.groupby("anomalous").cumcount().sort_values(kind="stable").index
    return pd.concat([*parts, shuffled.loc[turns].head(params.common).assign(kind=COMMON)])


def facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """alarm: the score is above the threshold."""
    return {
        "label": str(row["label"]),
        "anomalous": bool(row["anomalous"]),
        "kind": str(row["kind"]),
        "score": float(row["score"]),
        "threshold": float(row["threshold"]),
        "alarm": bool(row["score"] > row["threshold"]),
    }


def pictures(model: Model, arrays: Arrays, rows: np.ndarray, chosen: pd.DataFrame, params: Params) -> Pictures:
    """image; heatmap: the map alone, grey, on one scale for all cases of a model; reconstruction: of an autoencoder."""
    images = np.asarray(arrays.images[rows])
    maps, drawn = [], []
    for outputs in batched(model, images) if len(rows) else ():
        maps.append(detectors.maps(outputs, arrays.size).cpu().numpy())
        if (pair := detectors.reconstructions(outputs)) is not None:
            drawn.append(pair[0].cpu().numpy())
    heat = np.concatenate(maps) if maps else np.zeros((0, *arrays.size), np.float32)
    each = [
        {"image": image.squeeze(), "heatmap": own}
        for image, own in zip(images, grey(heat, ~chosen["anomalous"].to_numpy(dtype=bool)), strict=True)
    ]
    arrays_of = {"heatmaps": heat}
    if drawn:
        arrays_of["reconstructions"] = pixels(np.concatenate(drawn), images.shape[3])
        each = [
            own | {"reconstruction": r.squeeze()} for own, r in zip(each, arrays_of["reconstructions"], strict=True)
        ]
    return Pictures(each, arrays_of)


def grey(maps: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Maps n×H×W -> uint8: 0 up to the median pixel of the `normal` ones (n booleans), 255 from the HOTTEST percentile
    of the pixels of all on, and even steps between them."""
    if not len(maps):
        return maps.astype(np.uint8)
    cold, hot = np.median(maps[normal] if normal.any() else maps), np.percentile(maps, HOTTEST)
    share = (maps - cold) / (hot - cold) if hot > cold else np.zeros_like(maps)
    levels: np.ndarray = (np.clip(share, 0, 1) * 255).round().astype(np.uint8)
    return levels


def pixels(drawn: np.ndarray, channels: int) -> np.ndarray:
    """n×3×H×W of 0…1 -> uint8 n×H×W×channels. What lies outside of that range is cut off."""
    values = drawn.mean(axis=1, keepdims=True) if channels == 1 else drawn
    levels: np.ndarray = (np.clip(values, 0, 1) * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    return levels


def gallery(cases: Sequence[Mapping[str, Any]], pictures: Pictures, name: str) -> Figure:
    """One row per class and kind, without the common ones: each image plain, as it was drawn, and under its map."""
    pairs = [pair for pair in zip(cases, pictures.each, strict=True) if pair[0]["kind"] != COMMON]
    rows = [list(row) for _, row in groupby(pairs, lambda pair: (pair[0]["anomalous"], pair[0]["kind"]))]
    widest, parts = max(map(len, rows), default=1), 3 if "reconstructions" in pictures.arrays else 2
    fig, axes = figure(1.8 * parts * widest, 2.15 * max(1, len(rows)) + 0.3, max(1, len(rows)), parts * widest)
    for ax in axes.flat:
        ax.set_axis_off()
    for line, row in zip(axes, rows, strict=False):
        for group, (case, own) in zip(line.reshape(-1, parts), row, strict=False):
            for ax in (group[0], group[-1]):
                ax.imshow(own["image"], vmin=0, vmax=255)
            if parts == 3:
                group[1].imshow(own["reconstruction"], vmin=0, vmax=255)
                group[1].set_title("reconstruction", fontsize=8, fontweight="normal")
            share = own["heatmap"] / 255
            group[-1].imshow(share, cmap=HEAT, vmin=0, vmax=1, alpha=0.6 * share)
            group[0].set_title(f"{case['label']}, {case['kind']}", fontsize=8, fontweight="normal")
            verdict, right = "alarm" if case["alarm"] else "no alarm", case["alarm"] == case["anomalous"]
            group[-1].set_title(f"{case['score']:.3g}, {verdict}", fontsize=8, color=GOOD if right else BAD)
    threshold = f"   threshold {cases[0]['threshold']:.3g}" if cases else ""
    fig.suptitle(f"{name}{threshold}", x=0.01, ha="left", fontsize=10, color=MUTED)
    return fig
