"""Read what the other stages left, and compare it. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import pandas as pd

from ...shared.measures import MEASURES
from ...shared.measures.measure import Measure, TaskMeasures
from .. import read
from ..params import Params
from ..read import Member
from . import embeddings, ensembles, floors, guidelines, optimism, pareto, pooled, power_law, repeats
from .board import leaderboard
from .cells import Cells, cells
from .curves import Line, mean_line
from .draws import draws_of
from .paired import paired
from .questions import answers
from .worth import worth

LIMIT = 15  # models in figures that show single ones


@dataclass(frozen=True)
class Study:
    """All that the page and the figures show. `ranked`: the models, in the order of `board`, best first. `missing`:
    those that are not complete, and so in none of the tables. `means`: one row per backbone, strategy and size of
    training set. `board` and `means` have rows of neighbours that vote in the features of a model (column `kind`).
    `votes`: these against the model's own head. `floors`: predictions without a network; `floor`: the one of them that
    validation chooses, None without any; `above`: the rows of `board` against it, by key. `paired`: tests of pairs
    (paired.py). `optimism`: the luck in the first row (optimism.py). `cells`: the models of the matrix, repeats as one.
    `questions`: groups of models that differ in one thing. `pools`: ensembles of models, one row of `ensembles` each.

    In `board`, `means` and `contrasts`, the columns `value…` are of the metric that decides, `metric`."""

    params: Params
    data: read.Data
    ranked: list[Member]
    board: pd.DataFrame
    means: pd.DataFrame
    contrasts: pd.DataFrame
    missing: list[read.Missing]
    votes: pd.DataFrame
    floors: pd.DataFrame
    floor: read.Floor | None
    above: pd.DataFrame
    paired: pd.DataFrame
    optimism: pd.DataFrame
    cells: Cells
    questions: pd.DataFrame
    pools: list[ensembles.Ensemble]
    ensembles: pd.DataFrame

    @property
    def metric(self) -> str:
        """The metric that decides: rank, differences, ties and contrasts are by it."""
        return self.params.sort_by

    @property
    def task(self) -> TaskMeasures:
        """What models of this task are judged by."""
        return MEASURES[self.params.task]

    @property
    def measure(self) -> Measure:
        """What that metric is called, and which way is better."""
        return self.task.metrics[self.metric]

    @cached_property
    def folds(self) -> pd.DataFrame:
        """Folds of one training, pooled; no rows where there are none."""
        return pooled.pooled(self.ranked, self.data.index, self.task, self.metric)

    @cached_property
    def models(self) -> pd.DataFrame:
        """Rows of the leaderboard that are models of the matrix."""
        return self.board[self.board["kind"] == "model"].reset_index(drop=True)

    @cached_property
    def trained(self) -> pd.DataFrame:
        """Rows of `means` that are of models of the matrix."""
        return self.means[self.means["kind"] == "model"].reset_index(drop=True)

    @property
    def by_key(self) -> dict[str, Member]:
        return {str(m.key): m for m in self.ranked}

    @property
    def grows(self) -> bool:
        """Models were trained on different numbers of images, so there is a learning curve to draw."""
        return repeats.several_sizes(self.means["train_images"])

    @cached_property
    def fronts(self) -> pd.DataFrame:
        """Score against cost."""
        return pareto.fronts(self.cells)

    @cached_property
    def curves(self) -> list[power_law.Curve]:
        """Learning curves of three sizes and more."""
        return power_law.curves(self.cells, self.params.seed) if self.grows else []

    @cached_property
    def target(self) -> float:
        """The value of the metric that learning curves are asked images for."""
        return power_law.target(self.cells, self.params.baseline, self.params.target)

    @cached_property
    def laws(self) -> pd.DataFrame:
        """These curves as a table."""
        return power_law.table(self.curves, self.target)

    @cached_property
    def choices(self) -> list[guidelines.Choice]:
        """What to use for each size of training set, the largest first."""
        return guidelines.choices(self.cells, self.floor, self.metric)

    @cached_property
    def worth(self) -> list[dict[str, Any]]:
        """What pretraining is worth in images."""
        if not self.grows:
            return []
        drawn = partial(self.cells.drawn, seed=self.params.seed)
        return worth(self.trained, self.params.baseline, self.measure, self.curves, drawn)

    @property
    def repeated(self) -> bool:
        """Some models are repeats of one another with other seeds."""
        return bool((self.means["seeds"] > 1).any())

    @cached_property
    def shown(self) -> pd.DataFrame:
        """Rows of the leaderboard that figures of single models have room for: of repeats the first of the matrix, so
        that no score picks it, and the highest LIMIT of what is left."""
        names = self.models["key"]
        if len(names) > LIMIT:
            firsts = self.trained["samples"].str.split().str[0]
            names = self.trained["backbone"] + "-" + self.trained["strategy"] + "-" + firsts
        return self.models[self.models["key"].isin(names)].head(LIMIT).reset_index(drop=True)

    @cached_property
    def mean_lines(self) -> dict[str, dict[str, Line]]:
        """Curve -> key -> the line of each model of `shown`."""
        models = {key: self.by_key[key] for key in self.shown["key"]}
        return {
            name: {key: mean_line(m, curve) for key, m in models.items()} for name, curve in self.task.curves.items()
        }


def beside(params: Params) -> str:
    """The metric to show beside the one that decides: the first other metric of the headline."""
    metrics = MEASURES[params.task].metrics
    return next(name for name, measure in metrics.items() if measure.headline and name != params.sort_by)


def analyse(params: Params) -> Study:
    """Raises UserError when files are missing, damaged, stale or of other images than the rest."""
    data, task, metric = read.data(), MEASURES[params.task], params.sort_by
    members, missing = read.members(params.matrix.keys(), task.classes(data.meta), task)
    members += read.voters(members, task)
    draws = draws_of(members, metric, task)
    board = leaderboard(members, draws, metric, task.metrics)
    by_key = {str(m.key): m for m in members}
    other = beside(params)
    trainings = repeats.trainings(members, metric, other)
    means = repeats.means(trainings, draws, other)
    contrasts = repeats.contrasts(trainings[trainings["kind"] == "model"], draws, params.baseline)
    votes = embeddings.votes(trainings, draws, members)
    ranked = [by_key[key] for key in board.loc[board["kind"] == "model", "key"]]
    grounds = read.floors()
    floor = floors.reference(grounds, metric, task)
    above = floors.above(members, floor, metric, task) if floor else pd.DataFrame()
    table = floors.table(grounds, task, metric)
    places = {str(m.key): i for i, m in enumerate(members)}
    order = [places[key] for key in board["key"]]
    tests = paired(members, draws, metric, order[0], params.baseline, task)
    luck = optimism.table(board, draws.of(order))
    of_models = [table[table["kind"] == "model"] for table in (trainings, means, board)]
    own = cells(of_models[0], of_models[1], of_models[2], draws)
    groups = answers(own, members)
    pools = ensembles.ensembles(members, draws, metric, task) if params.ensembles else []
    joined = ensembles.table(pools, members, draws, metric)
    return Study(
        params,
        data,
        ranked,
        board,
        means,
        contrasts,
        missing,
        votes,
        table,
        floor,
        above,
        tests,
        luck,
        own,
        groups,
        pools,
        joined,
    )
