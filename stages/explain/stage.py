"""The chosen cases on disk: images, heat maps, one picture of all of them; and what checks say of the maps."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
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
from ..shared.model.predict import best_device
from ..shared.tasks.models import load
from .cases import CASES
from .checks import CHECKS
from .checks.examine import Examination
from .params import Params


def run(params: Params, job: Job) -> Result:
    model, recipe = load(paths.model_dir(job.member))
    arrays = load_arrays()
    predictions = paths.report_dir("evaluate", job.member) / "predictions.parquet"
    if not predictions.exists():
        raise UserError(f"{predictions}: missing. Run `dvc repro evaluate@{job.member}`.")
    kind, table = CASES[recipe.task], pd.read_parquet(predictions)
    model.to(best_device())
    chosen = kind.choose(table, recipe.classes, params)
    rows = pd.Index(arrays.index["path"]).get_indexer(chosen["path"])
    if not table["path"].isin(arrays.index["path"]).all():
        raise UserError(
            f"{paths.PROCESSED}: lacks images that {job.member} was evaluated on. Run `dvc repro evaluate`."
        )
    pictures = kind.pictures(model, arrays, rows, chosen, params)
    examination = CHECKS[recipe.task](model, arrays, table, recipe.classes, params)
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
    write_examination(folder, examination, recipe.weights_sha256)
    gallery = save(kind.gallery(cases, pictures, recipe.key), folder / "gallery.png")
    return Result(metrics={"cases": len(cases), **headlines(examination.numbers["methods"])}, figures=(gallery,))


def write_examination(folder: Path, examination: Examination, weights_sha256: str) -> None:
    """methods.json, maps.parquet and the mean maps. `weights_sha256`: of the model, for whoever shows its maps."""
    write_json(folder / "methods.json", {"weights_sha256": weights_sha256, **examination.numbers})
    with atomic(folder / "maps.parquet") as partial:
        examination.table.to_parquet(partial, index=False)
    for name, picture in examination.pictures.items():
        write_picture(folder / name, picture)


def headlines(methods: Mapping[str, Any]) -> dict[str, float]:
    """For the tracking store, e.g. grad_cam/deletion; what is not defined is left out."""
    values: dict[str, float | None] = {}
    for name, own in methods.items():
        if "deletion" in own:
            values |= {f"{name}/{kind}": own[kind]["area"]["value"] for kind in ("deletion", "insertion")}
            values[f"{name}/similarity_when_shuffled"] = own["randomisation"]["value"]
        values |= {f"{name}/energy_{of}": numbers["energy"]["value"] for of, numbers in own["structures"].items()}
    return {name.replace(" ", "_"): value for name, value in values.items() if value is not None}


def write_pictures(folder: Path, number: int, pictures: dict[str, np.ndarray]) -> dict[str, str]:
    """images/NN.png, heatmaps/NN.png, …; the name of each picture with its file."""
    files = {name: f"{name}s/{number:02d}.png" for name in pictures}
    for name, file in files.items():
        write_picture(folder / file, pictures[name])
    return files


def write_picture(path: Path, picture: np.ndarray) -> None:
    with atomic(path) as partial:
        Image.fromarray(picture).save(partial, format="PNG")
