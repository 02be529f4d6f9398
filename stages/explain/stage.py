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
from ..shared.figures.style import save
from ..shared.tasks.models import load
from .cases import CASES
from .params import Params


def run(params: Params, job: Job) -> Result:
    model, recipe = load(paths.model_dir(job.member))
    arrays = load_arrays()
    predictions = paths.report_dir("evaluate", job.member) / "predictions.parquet"
    if not predictions.exists():
        raise UserError(f"{predictions}: missing. Run `dvc repro evaluate@{job.member}`.")
    kind = CASES[recipe.task]
    chosen = kind.choose(pd.read_parquet(predictions), recipe.classes, params)
    rows = pd.Index(arrays.index["path"]).get_indexer(chosen["path"])
    if (rows < 0).any():
        raise UserError(
            f"{paths.PROCESSED}: lacks images that {job.member} was evaluated on. Run `dvc repro evaluate`."
        )
    pictures = kind.pictures(model, arrays, rows, chosen)
    folder = paths.report_dir("explain", job.member)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    records = chosen.to_dict("records")
    cases = [
        {"path": row["path"], "patient": row["patient"], **kind.facts(row), **write_pictures(folder, i, own)}
        for i, (row, own) in enumerate(zip(records, pictures.each, strict=True))
    ]
    write_json(folder / "cases.json", cases)
    with atomic(folder / "heatmaps.npz") as partial, partial.open("wb") as file:
        contents: dict[str, Any] = {**pictures.arrays, "paths": chosen["path"].to_numpy(dtype=str)}
        np.savez_compressed(file, **contents)
    gallery = save(kind.gallery(cases, pictures, recipe.key), folder / "gallery.png")
    return Result(metrics={"cases": len(cases)}, figures=(gallery,))


def write_pictures(folder: Path, number: int, pictures: dict[str, np.ndarray]) -> dict[str, str]:
    """images/NN.png, heatmaps/NN.png, …; the name of each picture with its file."""
    files = {name: f"{name}s/{number:02d}.png" for name in pictures}
    for name, file in files.items():
        (folder / file).parent.mkdir(exist_ok=True)
        with atomic(folder / file) as partial:
            Image.fromarray(pictures[name]).save(partial, format="PNG")
    return files
