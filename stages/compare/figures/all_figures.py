"""All figures of a comparison, by the name of their file."""

from __future__ import annotations

from matplotlib.figure import Figure

from ..numbers.comparison import Study
from ..numbers.pareto import COSTS
from ..numbers.questions import QUESTIONS
from ..text import level as coverage
from ..views import VIEWS
from . import board, curves, examples, floors, growth, pareto, plans, questions, shortcuts
from .style import Look


def all_figures(study: Study) -> dict[str, Figure]:
    """A history needs a model that learned in epochs, a learning curve two sizes of training set, the sheet of images
    at least one image."""
    shown, by_key, label, level = study.shown, study.by_key, study.measure.label, coverage(study.board.confidence[0])
    look, forest = Look(shown, study.models), study.trained if study.repeated else study.models
    view = VIEWS[study.params.task]
    figures = {
        "intervals": board.intervals(forest, label, Look(forest, study.models)),
        "plans": plans.plans(study.models, by_key),
        **view.figures(study),
    }
    learned = shown[[by_key[key].learned for key in shown["key"]]]
    if len(learned):
        figures["histories"] = curves.histories(learned, by_key, look, study.task.watched)
    if study.grows:
        look_of_means = Look(study.trained, study.models)
        figures["data_efficiency"] = growth.data_efficiency(
            study.trained, study.models, label, look_of_means, study.curves
        )
    if study.grows and study.repeated and len(study.contrasts):
        look_of_contrasts = Look(study.contrasts, study.models)
        figures["gains"] = growth.gains(study.contrasts, study.params.baseline, label, level, look_of_contrasts)
    if len(study.fronts):
        look_of_cells = Look(study.trained, study.models)
        figures["pareto"] = pareto.fronts(study.fronts, COSTS, label, study.cells.draws.level, look_of_cells)
    for question in QUESTIONS:
        rows = study.questions[study.questions["question"] == question.name]
        if len(rows):
            sides = question.a, question.b
            figures[f"question_{question.name}"] = questions.question(
                rows, sides, label, study.cells.draws.level, study.measure.spread is not None
            )
    if study.floor is not None:
        name = str(study.floor.about["title"])
        figures["above_floor"] = floors.above(shown, study.above, label, name, look)
    if study.data.shortcuts["meters"]:
        figures["shortcuts"] = shortcuts.bars(study.data.shortcuts)
        figures["shortcut_pictures"] = shortcuts.seen(study.data.shortcut_pictures, study.data.meta["classes"])
    if rows := examples.choose(study.ranked[0], study.params.samples, study.params.seed):
        figures["samples"] = view.sheet(study, rows, {look.name(row): by_key[row.key] for row in shown.itertuples()})
    return figures
