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
