"""From a model to its predictions and numbers."""

from __future__ import annotations

import numpy as np

from ..shared.arrays.arrays import Arrays, load_arrays
from ..shared.core import paths
from ..shared.core.errors import UserError
from ..shared.core.job import Job, Result
from ..shared.measures import MEASURES
from ..shared.measures.judge import Resampling, flat, judge, write
from ..shared.model.recipe import Recipe
from ..shared.tasks import TASKS
from ..shared.tasks.models import load
from .params import Params


def run(params: Params, job: Job) -> Result:
    model, recipe = load(paths.model_dir(job.member))
    arrays = load_arrays()
    check_fit(recipe, arrays)
    task = TASKS[recipe.task]
    rows = np.concatenate([validation_rows(recipe, arrays), arrays.rows("test")])
    rows = rows[task.usable(arrays.index)[rows]]
    table = task.predict(model, arrays, rows).table
    how = Resampling(params.bootstrap, params.confidence, params.seed)
    judgement = judge(table, MEASURES[recipe.task], how)
    write(paths.report_dir("evaluate", job.member), table, judgement)
    datasets = {use: table[table["split"] == split] for use, split in (("validation", "val"), ("test", "test"))}
    return Result(metrics=flat(judgement.numbers), datasets=datasets)


def check_fit(recipe: Recipe, arrays: Arrays) -> None:
    """Raises UserError when the arrays are not those that the model was trained on."""
    if (recipe.classes, recipe.data) != (TASKS[recipe.task].outputs(arrays), arrays.fingerprint):
        raise UserError(
            f"models/{recipe.key} was trained on other arrays than those in {paths.PROCESSED} (fingerprint "
            f"{recipe.data[:12]} instead of {arrays.fingerprint[:12]}). Run `dvc repro train@{recipe.key}`."
        )


def validation_rows(recipe: Recipe, arrays: Arrays) -> np.ndarray:
    """The fold this model stopped on, which need not be the index's own `val`."""
    return np.flatnonzero(arrays.index["fold"] == recipe.params["sample"]["fold"])
