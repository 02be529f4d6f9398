"""From a model to its predictions and numbers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from ..shared.arrays.arrays import Arrays, load_arrays
from ..shared.arrays.preprocessing import restore
from ..shared.core import paths
from ..shared.core.errors import UserError
from ..shared.core.job import Job, Result
from ..shared.core.matrix import repro
from ..shared.measures import MEASURES
from ..shared.measures.judge import Resampling, flat, judge, write
from ..shared.measures.measure import Truth
from ..shared.model.decision import mask_of
from ..shared.model.recipe import Decision, Recipe
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
    predictions, measures = task.predict(model, arrays, rows), MEASURES[recipe.task]
    table = measures.scored(predictions.table, predictions.maps, truth_of(arrays, rows, recipe.decision), params)
    judgement = judge(table, measures, Resampling(params.bootstrap, params.confidence, params.seed))
    judgement = replace(judgement, numbers={**judgement.numbers, "settings": params.model_dump()})
    write(paths.report_dir("evaluate", job.member), table, judgement)
    datasets = {use: table[table["split"] == split] for use, split in (("validation", "val"), ("test", "test"))}
    return Result(metrics=flat(judgement.numbers), datasets=datasets)


def truth_of(arrays: Arrays, rows: np.ndarray, decision: Decision | None) -> Truth:
    """The masks of these rows; where there are none at all, no structures and nothing annotated."""
    index = arrays.index.iloc[rows]
    if arrays.masks is None:
        masks = np.broadcast_to(np.uint8(0), (len(rows), *arrays.size))
        annotated = np.zeros(len(rows), dtype=bool)
    else:
        masks, annotated = arrays.masks[rows], index["has_mask"].to_numpy()

    def original(i: int) -> np.ndarray | None:
        comparable = annotated[i] and index["mask_fits"].iloc[i]
        return arrays.original_mask(int(rows[i])) if comparable else None

    restored = partial(restore, spec=arrays.preprocess)
    mask = None if decision is None else partial(mask_of, decision=decision)
    return Truth(masks, arrays.structures, original, restored, annotated, decision, mask)


def check_fit(recipe: Recipe, arrays: Arrays) -> None:
    """Raises UserError when the arrays are not those that the model was trained on."""
    if (recipe.classes, recipe.data) != (TASKS[recipe.task].outputs(arrays), arrays.fingerprint):
        raise UserError(
            f"models/{recipe.key} was trained on other arrays than those in {paths.PROCESSED} (fingerprint "
            f"{recipe.data[:12]} instead of {arrays.fingerprint[:12]}). Run {repro('train', recipe.key)}."
        )


def validation_rows(recipe: Recipe, arrays: Arrays) -> np.ndarray:
    """The images this model stopped on: of its fold, which need not be the index's own `val`, and of its site. Those of
    another site must choose no threshold: how the model does there is what the test asks."""
    index, sample = arrays.index, recipe.params["sample"]
    own = index["fold"] == sample["fold"]
    if (site := sample.get("site")) is not None:  # recipes from before there were sites lack it
        own &= index["site"] == site
    return np.flatnonzero(own)
