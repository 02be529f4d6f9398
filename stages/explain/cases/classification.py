"""Classification: right and wrong predictions of each class, with the heat map of the class that was predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...shared.arrays.arrays import Arrays
from ...shared.core.task import PROBABILITY
from ...shared.figures.style import BAD, GOOD, HEAT, MUTED, figure
from ...shared.model.model import Model
from ..methods import METHODS
from ..methods.method import heat_maps, usable
from ..params import Params
from .cases import Pictures


def choose(predictions: pd.DataFrame, classes: list[str], params: Params) -> pd.DataFrame:
    """Up to `right` and `wrong` test images of each class, at most one of a patient per class and outcome.

    Adds `confidence` (the probability of the predicted class) and `correct`. Ordered by class, right before wrong.
    """
    test = predictions[predictions["split"] == "test"].copy()
    test["confidence"] = [row[f"{PROBABILITY}{row['predicted']}"] for row in test.to_dict("records")]
    test["correct"] = test["label"].astype(str) == test["predicted"].astype(str)
    if params.choose == "random":
        test = test.iloc[np.random.default_rng(params.seed).permutation(len(test))]
    else:
        lowest_first = params.choose == "uncertain"
        test = test.sort_values(["confidence", "path"], ascending=[lowest_first, True], kind="stable")
    parts = []
    for name in classes:
        for correct, count in ((True, params.right), (False, params.wrong)):
            group = test[(test["label"] == name) & (test["correct"] == correct)]
            parts.append(group.drop_duplicates("patient").head(count))
    return pd.concat(parts)


def facts(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "label": str(row["label"]),
        "predicted": str(row["predicted"]),
        "confidence": float(row["confidence"]),
        "correct": bool(row["correct"]),
    }


def pictures(model: Model, arrays: Arrays, rows: np.ndarray, chosen: pd.DataFrame, params: Params) -> Pictures:
    """image: what the model saw; heatmap: the map alone, grey, 0 to 255, of the first method that the model can do."""
    images, method = np.asarray(arrays.images[rows]), METHODS[usable(params.methods, METHODS, model)[0][0]]
    maps = heat_maps(method, model, images, chosen["predicted"].cat.codes.to_numpy())
    each = [
        {"image": image.squeeze(), "heatmap": (heat * 255).round().astype(np.uint8)}
        for image, heat in zip(images, maps, strict=True)
    ]
    return Pictures(each, {"heatmaps": maps}, method.label)


def gallery(cases: Sequence[Mapping[str, Any]], pictures: Pictures, name: str) -> Figure:
    """One row per class and outcome, in the order of `cases`: each image plain and under its heat map."""
    heat_maps = pictures.arrays["heatmaps"]
    triples = zip(cases, pictures.each, heat_maps, strict=True)
    rows = [list(row) for _, row in groupby(triples, lambda case: outcome(case[0]))]
    widest = max(map(len, rows), default=1)
    fig, axes = figure(3.6 * widest, 2.15 * max(1, len(rows)) + 0.3, max(1, len(rows)), 2 * widest)
    for ax in axes.flat:
        ax.set_axis_off()
        ax.set(xticks=[], yticks=[])  # also of an axis that is off, ticks take most of the time of the layout
    for line, row in zip(axes, rows, strict=False):
        for (left, right), (case, own, heat) in zip(line.reshape(-1, 2), row, strict=False):
            for ax in (left, right):
                ax.imshow(own["image"], vmin=0, vmax=255)
            right.imshow(heat, cmap=HEAT, vmin=0, vmax=1, alpha=0.25 + 0.45 * heat)
            left.set_title(f"truth: {case['label']}", fontsize=8, fontweight="normal")
            predicted = f"predicted {case['predicted']}, {case['confidence']:.0%}"
            right.set_title(predicted, fontsize=8, color=GOOD if case["correct"] else BAD)
    fig.suptitle(f"{name}   {pictures.method} of the predicted class", x=0.01, ha="left", fontsize=10, color=MUTED)
    return fig


def outcome(case: Mapping[str, Any]) -> tuple[str, bool]:
    return case["label"], case["correct"]
