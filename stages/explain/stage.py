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
from ..shared.tasks.models import load
from .choose import choose
from .gallery import draw
from .methods.grad_cam import grad_cam
from .params import Params


def run(params: Params, job: Job) -> Result:
    model, recipe = load(paths.model_dir(job.member))
    arrays = load_arrays()
    predictions = paths.report_dir("evaluate", job.member) / "predictions.parquet"
    if not predictions.exists():
        raise UserError(f"{predictions}: missing. Run `dvc repro evaluate@{job.member}`.")
    chosen = choose(pd.read_parquet(predictions), recipe.classes, params)
    rows = pd.Index(arrays.index["path"]).get_indexer(chosen["path"])
    if (rows < 0).any():
        raise UserError(
            f"{paths.PROCESSED}: lacks images that {job.member} was evaluated on. Run `dvc repro evaluate`."
        )
    images = np.asarray(arrays.images[rows])
    maps = grad_cam(model, images, chosen["predicted"].cat.codes.to_numpy().astype(np.int64)) if len(rows) else images
    folder = paths.report_dir("explain", job.member)
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("images", "heatmaps"):
        (folder / name).mkdir(parents=True)
    cases = [write_case(folder, i, row, images[i], maps[i]) for i, row in enumerate(chosen.to_dict("records"))]
    write_json(folder / "cases.json", cases)
    with atomic(folder / "heatmaps.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, heatmaps=maps, paths=chosen["path"].to_numpy(dtype=str))
    gallery = draw(cases, images, maps, recipe.key, folder / "gallery.png")
    wrong = sum(not case["correct"] for case in cases)
    return Result(metrics={"cases": len(cases), "cases_wrong": wrong}, figures=(gallery,))


def write_case(folder: Path, number: int, row: dict[str, Any], image: np.ndarray, heat: np.ndarray) -> dict[str, Any]:
    """images/NN.png is what the model saw, heatmaps/NN.png the map alone, as grey 0…255."""
    files = {"image": f"images/{number:02d}.png", "heatmap": f"heatmaps/{number:02d}.png"}
    for file, pixels in zip(files.values(), (image.squeeze(), (heat * 255).round().astype(np.uint8)), strict=True):
        with atomic(folder / file) as partial:
            Image.fromarray(pixels).save(partial, format="PNG")
    return {
        "path": row["path"],
        "patient": row["patient"],
        "label": str(row["label"]),
        "predicted": str(row["predicted"]),
        "confidence": float(row["confidence"]),
        "correct": bool(row["correct"]),
        **files,
    }
