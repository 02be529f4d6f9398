"""Segmentation: the best, the median and the worst outlines, and some images that every model shows.

The prediction is the mask that was scored, with the threshold and the components that were chosen on validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...shared.arrays.arrays import Arrays
from ...shared.figures.style import MUTED, figure
from ...shared.measures.segmentation import Answers
from ...shared.model.decision import mask_of
from ...shared.model.model import Model
from ...shared.model.predict import batched
from ...shared.model.recipe import Decision
from ...shared.tasks.segmentation import structures
from ..params import Params
from .cases import Pictures
from .middle import middle_first

SIDE = 256  # pixels; smaller images are enlarged, so that an outline is a line
TRUTH, PREDICTION, MISSED = "#56b4e9", "#e69f00", "#56b4e9"  # Okabe and Ito's; false pixels are as the prediction

LINES = ((TRUTH, 3, "truth"), (PREDICTION, 1, "prediction"))  # colour, width, name


def choose(predictions: pd.DataFrame, classes: list[str], params: Params) -> pd.DataFrame:
    """Adds `dice`, the mean over structures, and `kind`: best, median, worst, at most one image of a patient in each;
    then `common`, random images that do not depend on any prediction. Images without a Dice come in none but common."""
    test = predictions[predictions["split"] == "test"].sort_values("path", ignore_index=True)
    test = test.assign(dice=Answers(test).image("dice"))
    ordered = test.dropna(subset="dice").sort_values(["dice", "path"], kind="stable", ignore_index=True)
    orders = {"best": ordered.iloc[::-1], "median": middle_first(ordered), "worst": ordered}
    parts = [rows.drop_duplicates("patient").head(params.outlines).assign(kind=kind) for kind, rows in orders.items()]
    order = np.random.default_rng(params.seed).permutation(len(test))
    parts.append(test.iloc[order].drop_duplicates("patient").head(params.common).assign(kind="common"))
    return pd.concat(parts)


def facts(row: Mapping[str, Any]) -> dict[str, Any]:
    dice = float(row["dice"])
    return {"label": str(row["label"]), "kind": str(row["kind"]), "dice": None if np.isnan(dice) else dice}


def pictures(model: Model, arrays: Arrays, rows: np.ndarray, chosen: pd.DataFrame, params: Params) -> Pictures:
    """image; overlay: truth and prediction as outlines; error: missed and false pixels."""
    assert arrays.masks is not None
    images, truths = np.asarray(arrays.images[rows]), np.asarray(arrays.masks[rows])
    maps = [each for logits in batched(model, images) for each in structures(logits)] if len(rows) else []
    masks = [mask_of(each, decision_of(row)) for row, each in zip(chosen.to_dict("records"), maps, strict=True)]
    each = [
        {"image": image.squeeze(), "overlay": overlay(image, truth, mask), "error": errors(image, truth, mask)}
        for image, truth, mask in zip(images, truths, masks, strict=True)
    ]
    return Pictures(each, {"probabilities": np.array(maps, np.uint8), "masks": np.array(masks, np.uint8)})


def decision_of(row: Mapping[str, Any]) -> Decision:
    """That the row was scored with."""
    kept = [int(value) for name, value in row.items() if str(name).startswith("components:")]
    return Decision(level=round(row["threshold"] * 255), kept=tuple(kept))


def overlay(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """uint8 H×W×3. Where both outlines coincide the prediction lies on top, and is thinner."""
    canvas, scale = enlarged(image)
    for labels, (colour, width, _) in zip((truth, mask), LINES, strict=True):
        for k in range(1, int(labels.max()) + 1):
            outlines, _ = cv2.findContours(times(labels == k, scale), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
            cv2.drawContours(canvas, outlines, -1, rgb(colour), width, cv2.LINE_AA)
    return canvas


def errors(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """uint8 H×W×3: the image, pale, with missed and false pixels in colour. A structure taken for another is false."""
    canvas, scale = enlarged(image)
    canvas = (canvas // 2 + 100).astype(np.uint8)
    for region, colour in (((truth > 0) & (mask == 0), MISSED), ((mask > 0) & (mask != truth), PREDICTION)):
        canvas[times(region, scale) > 0] = rgb(colour)
    return canvas


def times(region: np.ndarray, scale: int) -> np.ndarray:
    """Booleans h×w -> uint8, each pixel scale × scale of them."""
    large: np.ndarray = np.kron(region.astype(np.uint8), np.ones((scale, scale), np.uint8))
    return large


def enlarged(image: np.ndarray) -> tuple[np.ndarray, int]:
    """(RGB, how many times as large)."""
    scale = -(-SIDE // max(image.shape[:2]))
    colour = image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)
    return cv2.resize(colour, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), scale


def rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def gallery(cases: Sequence[Mapping[str, Any]], pictures: Pictures, name: str) -> Figure:
    """One row a kind: each image with its outlines and its errors."""
    pairs = zip(cases, pictures.each, strict=True)
    rows = [(kind, list(row)) for kind, row in groupby(pairs, lambda case: str(case[0]["kind"]))]
    widest = max((len(row) for _, row in rows), default=1)
    fig, axes = figure(3.6 * widest, 2.15 * max(1, len(rows)) + 0.5, max(1, len(rows)), 2 * widest)
    for ax in axes.flat:
        ax.set_axis_off()
    for line, (kind, row) in zip(axes, rows, strict=False):
        for (left, right), (case, own) in zip(line.reshape(-1, 2), row, strict=False):
            left.imshow(own["overlay"])
            right.imshow(own["error"])
            left.set_title(kind, fontsize=8, fontweight="normal")
            dice = "not defined" if case["dice"] is None else f"{case['dice']:.3f}"
            right.set_title(f"Dice {dice}", fontsize=8, fontweight="normal")
    truth, prediction = (Line2D([], [], color=c, linewidth=w, label=n) for c, w, n in LINES)
    areas = [Patch(color=MISSED, label="missed"), Patch(color=PREDICTION, label="false")]
    fig.legend(handles=[truth, prediction, *areas], loc="outside lower left", ncols=4)
    fig.suptitle(name, x=0.01, ha="left", fontsize=10, color=MUTED)
    return fig
