"""All figures of a comparison, by the name of their file."""

from __future__ import annotations

from matplotlib.figure import Figure

from ..numbers.comparison import Study
from . import board, curves, films, growth, plans
from .style import Look, percent


def draw(study: Study) -> dict[str, Figure]:
    """A learning curve needs two sizes of training set, the film sheet at least one film."""
    shown, by_key, params = study.shown, study.by_key, study.params
    look, forest = Look(shown, study.board), study.means if study.repeated else study.board
    figures = {
        "auroc_intervals": board.auroc_intervals(forest, Look(forest, study.board)),
        "precision_recall_f1": board.precision_recall_f1(shown, by_key, look),
        "histories": curves.histories(shown, by_key, look),
        "plans": plans.plans(study.board, by_key),
        "roc": curves.roc(shown, {key: curves.mean_roc(by_key[key]) for key in shown.key}, look),
        "confusion": board.confusions(shown, by_key, look),
    }
    if study.grows:
        figures["data_efficiency"] = growth.data_efficiency(study.means, study.board, Look(study.means, study.board))
    if study.grows and study.repeated and len(study.contrasts):
        contrasted = Look(study.contrasts, study.board)
        figures["gains"] = growth.gains(study.contrasts, params.baseline, percent(study.board), contrasted)
    if rows := films.choose(study.ranked[0], params.samples, params.seed):
        named = {look.name(row): by_key[row.key] for row in shown.itertuples()}
        figures["samples"] = films.sheet(films.pixels_of(study.data, study.ranked[0], rows), rows, named)
    return figures
