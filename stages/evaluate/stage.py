"""From a model to its predictions and numbers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from ..shared.arrays.arrays import Arrays, at_sites, load_arrays
from ..shared.arrays.preprocessing import restore
from ..shared.core import paths
from ..shared.core.errors import UserError
from ..shared.core.files import write_json
from ..shared.core.job import Job, Result
from ..shared.core.matrix import repro
from ..shared.measures import MEASURES
from ..shared.measures.judge import Resampling, flat, judge, write
from ..shared.measures.truth import truth_of
from ..shared.model.decision import mask_of
from ..shared.model.recipe import Recipe
from ..shared.tasks import TASKS
from ..shared.tasks.models import load
from .cost import headlines as of_cost
from .cost import measure
from .evidence import COLUMNS, FILES, SECTIONS
from .evidence.evidence import Evidence, headlines
from .images import describe
from .params import Params


def run(params: Params, job: Job) -> Result:
    model, recipe = load(paths.model_dir(job.member))
    arrays = load_arrays()
    check_fit(recipe, arrays)
    task = TASKS[recipe.task]
    rows = np.concatenate([validation_rows(recipe, arrays), arrays.rows("test")])
    rows = rows[task.usable(arrays.index)[rows]]
    predictions, measures = task.predict(model, arrays, rows), MEASURES[recipe.task]
    decision = recipe.decision
    truth = truth_of(
        arrays, rows, partial(restore, spec=arrays.preprocess), decision,
        None if decision is None else partial(mask_of, decision=decision),
    )  # fmt: skip
    table = measures.scored(predictions.table, predictions.maps, truth, params)
    table = describe(table, arrays.index.iloc[rows])
    how = Resampling(params.bootstrap, params.confidence, params.seed)
    evidence = Evidence(params, table, how, model, recipe, arrays, rows)
    for columns in COLUMNS[recipe.task]:
        evidence = replace(evidence, table=evidence.table.join(columns(evidence)))
    judgement = judge(evidence.table, measures, how)
    sections = {name: section(evidence) for name, section in SECTIONS[recipe.task].items()}
    numbers = {**judgement.numbers, **sections, "settings": params.model_dump()}
    folder, table = paths.report_dir("evaluate", job.member), evidence.table
    write(folder, table, replace(judgement, numbers=numbers))
    for name, contents in FILES[recipe.task].items():
        write_json(folder / name, contents(evidence))
    cost = measure(model, arrays.images[np.sort(rows[:32])], params.cost)
    write_json(folder / "cost.json", cost)
    datasets = {use: table[table["split"] == split] for use, split in (("validation", "val"), ("test", "test"))}
    return Result(metrics=flat(judgement.numbers) | headlines(sections) | of_cost(cost), datasets=datasets)


def check_fit(recipe: Recipe, arrays: Arrays) -> None:
    """Raises UserError when the arrays are not those that the model was trained on."""
    if (recipe.classes, recipe.data) != (TASKS[recipe.task].outputs(arrays), arrays.fingerprint):
        raise UserError(
            f"models/{recipe.key} was trained on other arrays than those in {paths.PROCESSED} (fingerprint "
            f"{recipe.data[:12]} instead of {arrays.fingerprint[:12]}). Run {repro('train', recipe.key)}."
        )


def validation_rows(recipe: Recipe, arrays: Arrays) -> np.ndarray:
    """The images this model stopped on: of its fold, which need not be the index's own `val`, and of its sites. Those
    of another site must choose no threshold: how the model does there is what the test asks."""
    index, sample = arrays.index, recipe.params["sample"]
    return np.flatnonzero((index["fold"] == sample["fold"]) & at_sites(index, sample))
