"""All figures of a comparison, by the name of their file."""

from __future__ import annotations

from matplotlib.figure import Figure

from ..numbers.comparison import Study
from ..numbers.curves import prevalence
from ..text import level as coverage
from . import board, curves, examples, growth, plans
from .style import Look


def all_figures(study: Study) -> dict[str, Figure]:
    """A learning curve needs two sizes of training set, the sheet of images at least one image."""
    shown, by_key, label, level = study.shown, study.by_key, study.measure.label, coverage(study.board.confidence[0])
    look, forest = Look(shown, study.board), study.means if study.repeated else study.board
    figures = {
        "intervals": board.intervals(forest, label, Look(forest, study.board)),
        "precision_recall_f1": board.precision_recall_f1(shown, by_key, look),
        "histories": curves.histories(shown, by_key, look, study.task.watched),
        "plans": plans.plans(study.board, by_key),
        "confusion": board.confusions(shown, by_key, look),
    }
    share = prevalence(study.ranked[0])
    for name, curve in study.task.curves.items():
        label_of_area = study.task.metrics[curve.metric].label
        figures[name] = curves.by_backbone(shown, study.mean_lines[name], curve, label_of_area, share, look)
    if study.grows:
        look_of_means = Look(study.means, study.board)
        figures["data_efficiency"] = growth.data_efficiency(study.means, study.board, label, look_of_means)
    if study.grows and study.repeated and len(study.contrasts):
        look_of_contrasts = Look(study.contrasts, study.board)
        figures["gains"] = growth.gains(study.contrasts, study.params.baseline, label, level, look_of_contrasts)
    if rows := examples.choose(study.ranked[0], study.params.samples, study.params.seed):
        named = {look.name(row): by_key[row.key] for row in shown.itertuples()}
        figures["samples"] = examples.sheet(examples.pixels_of(study.data, study.ranked[0], rows), rows, named)
    return figures


def cards(study: Study) -> dict[str, Figure]:
    """History and threshold curves of each model that figures show, by key."""
    look, share = Look(study.board), prevalence(study.ranked[0])
    return {
        key: curves.card(study.by_key[key], study.task, study.mean_lines, share, look.colour)
        for key in study.shown["key"]
    }
