"""All figures of a comparison, by the name of their file."""

from __future__ import annotations

from matplotlib.figure import Figure

from ..numbers.comparison import Study
from ..numbers.curves import Curve, mean_precision_recall, mean_roc, prevalence
from ..text import level as coverage
from . import board, curves, films, growth, plans
from .style import Look


def draw(study: Study) -> dict[str, Figure]:
    """A learning curve needs two sizes of training set, the film sheet at least one film."""
    shown, by_key, label, level = study.shown, study.by_key, study.measure.label, coverage(study.board.confidence[0])
    look, forest = Look(shown, study.board), study.means if study.repeated else study.board
    rocs, precision_recalls, share = threshold_curves(study)
    figures = {
        "intervals": board.intervals(forest, label, Look(forest, study.board)),
        "precision_recall_f1": board.precision_recall_f1(shown, by_key, look),
        "histories": curves.histories(shown, by_key, look),
        "plans": plans.plans(study.board, by_key),
        "roc": curves.roc(shown, rocs, look),
        "precision_recall": curves.precision_recall(shown, precision_recalls, share, look),
        "confusion": board.confusions(shown, by_key, look),
    }
    if study.grows:
        look_of_means = Look(study.means, study.board)
        figures["data_efficiency"] = growth.data_efficiency(study.means, study.board, label, look_of_means)
    if study.grows and study.repeated and len(study.contrasts):
        look_of_contrasts = Look(study.contrasts, study.board)
        figures["gains"] = growth.gains(study.contrasts, study.params.baseline, label, level, look_of_contrasts)
    if rows := films.choose(study.ranked[0], study.params.samples, study.params.seed):
        named = {look.name(row): by_key[row.key] for row in shown.itertuples()}
        figures["samples"] = films.sheet(films.pixels_of(study.data, study.ranked[0], rows), rows, named)
    return figures


def cards(study: Study) -> dict[str, Figure]:
    """History and threshold curves of each model that figures show, by key."""
    shown, by_key, look = study.shown, study.by_key, Look(study.board)
    threshold = threshold_curves(study)
    return {key: curves.card(by_key[key], *threshold, look) for key in shown.key}


def threshold_curves(study: Study) -> tuple[dict[str, Curve], dict[str, Curve], float]:
    """ROC and precision–recall curve of each model that figures show, and the prevalence on the test split."""
    models = {key: study.by_key[key] for key in study.shown.key}
    rocs = {key: mean_roc(m) for key, m in models.items()}
    return rocs, {key: mean_precision_recall(m) for key, m in models.items()}, prevalence(study.ranked[0])
