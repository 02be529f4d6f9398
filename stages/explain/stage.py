"""The chosen cases on disk: images, heat maps, one picture of all of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ..shared.arrays.arrays import load_arrays
from ..shared.core import paths
from ..shared.core.errors import UserError
from ..shared.core.files import atomic, write_json
from ..shared.core.job import Job, Result
from ..shared.figures.style import BAD, GOOD, HEAT, MUTED, figure, save
from ..shared.tasks.models import load
from .choose import choose
from .methods.grad_cam import grad_cam
from .params import Params


def run(params: Params, job: Job) -> Result:
    model, recipe = load(paths.model_dir(job.member))
    arrays = load_arrays()
    chosen = choose(read_predictions(job.member), recipe.classes, params)
    folder = paths.report_dir("explain", job.member)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = pd.Index(arrays.index["path"]).get_indexer(chosen["path"])
    if (rows < 0).any():
        raise UserError(
            f"{paths.PROCESSED}: lacks images that {job.member} was evaluated on. Run `dvc repro evaluate`."
        )
    images = np.asarray(arrays.images[rows])
    maps = grad_cam(model, images, chosen["predicted"].cat.codes.to_numpy().astype(np.int64)) if len(rows) else images
    cases = [write_case(folder, i, row, images[i], maps[i]) for i, row in enumerate(chosen.to_dict("records"))]
    write_json(folder / "cases.json", cases)
    with atomic(folder / "heatmaps.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, heatmaps=maps, paths=chosen["path"].to_numpy(dtype=str))
    picture = draw(cases, images, maps, recipe.classes, recipe.key, folder / "gallery.png")
    return Result(metrics=counts(cases), figures=(picture,))


def read_predictions(key: paths.Key) -> pd.DataFrame:
    path = paths.report_dir("evaluate", key) / "predictions.parquet"
    if not path.exists():
        raise UserError(f"{path}: missing. Run `dvc repro evaluate@{key}`.")
    return pd.read_parquet(path)


def write_case(folder: Path, number: int, row: dict[str, Any], image: np.ndarray, heat: np.ndarray) -> dict[str, Any]:
    """images/NN.png is what the model saw, heatmaps/NN.png the map alone, as grey 0…255."""
    for name, pixels in (("images", image.squeeze()), ("heatmaps", (heat * 255).round().astype(np.uint8))):
        (folder / name).mkdir(exist_ok=True)
        with atomic(folder / name / f"{number:02d}.png") as partial:
            Image.fromarray(pixels).save(partial, format="PNG")
    return {
        "path": row["path"],
        "patient": row["patient"],
        "label": str(row["label"]),
        "predicted": str(row["predicted"]),
        "confidence": float(row["confidence"]),
        "correct": bool(row["correct"]),
        "image": f"images/{number:02d}.png",
        "heatmap": f"heatmaps/{number:02d}.png",
    }


def counts(cases: list[dict[str, Any]]) -> dict[str, float]:
    return {"cases": len(cases), "cases_wrong": sum(not case["correct"] for case in cases)}


def draw(
    cases: list[dict[str, Any]], images: np.ndarray, maps: np.ndarray, classes: list[str], name: str, path: Path
) -> Path:
    """One row per class and outcome: each case as image and image with heat map side by side."""
    groups = [[(i, c) for i, c in enumerate(cases) if (c["label"], c["correct"]) == (label, correct)]
              for label in classes for correct in (True, False)]  # fmt: skip
    groups = [group for group in groups if group]
    widest = max((len(group) for group in groups), default=1)
    fig, axes = figure(3.6 * widest, 2.15 * max(1, len(groups)) + 0.3, max(1, len(groups)), 2 * widest)
    for ax in axes.flat:
        ax.set_axis_off()
    for axes_row, group in zip(axes, groups, strict=False):
        for j, (i, case) in enumerate(group):
            draw_case(axes_row[2 * j : 2 * j + 2], case, images[i], maps[i])
    fig.suptitle(f"{name}   Grad-CAM of the predicted class", x=0.01, ha="left", fontsize=10, color=MUTED)
    return save(fig, path)


def draw_case(axes: np.ndarray, case: dict[str, Any], image: np.ndarray, heat: np.ndarray) -> None:
    for ax in axes:
        ax.imshow(image.squeeze(), vmin=0, vmax=255)
    axes[1].imshow(heat, cmap=HEAT, vmin=0, vmax=1, alpha=0.25 + 0.45 * heat)
    axes[0].set_title(f"is {case['label']}", fontsize=8, fontweight="normal")
    axes[1].set_title(
        f"said {case['predicted']}, {case['confidence']:.0%}", fontsize=8, color=GOOD if case["correct"] else BAD
    )
