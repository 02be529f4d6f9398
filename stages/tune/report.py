"""reports/tune/<key>/: every trial, what was confirmed, and two figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import optuna
import pandas as pd
from matplotlib.axes import Axes
from optuna.trial import TrialState

from ..shared.core.files import atomic
from ..shared.figures.style import GRID, INK, MUTED, colours, figure, save
from .params import Space
from .search import RANDOM, SEARCH, finished, row, value_of
from .space import distributions

NAMES = {SEARCH: "search", RANDOM: "random search"}
COLOURS = colours([SEARCH, RANDOM])
FEWEST = 8  # trials that tell how much a setting matters


def write_trials(path: Path, studies: Sequence[optuna.Study]) -> None:
    """One row per finished trial of both searches."""
    table = pd.DataFrame([row(study, trial) for study in studies for trial in finished(study)])
    with atomic(path) as partial:
        table.to_csv(partial, index=False)


def budget(study: optuna.Study) -> dict[str, float]:
    """What a search spent."""
    rows = [row(study, trial) for trial in finished(study)]
    return {
        "trials": len(rows),
        "pruned": sum(one["state"] == "pruned" for one in rows),
        "unusable": sum(one["state"] == "unusable" for one in rows),
        "epochs": sum(one["epochs"] or 0 for one in rows),
        "seconds": round(sum(one["seconds"] or 0 for one in rows), 1),
    }


def history(path: Path, studies: Sequence[optuna.Study], metric: str) -> Path:
    """The best value so far, trial by trial, and the trials themselves."""
    fig, axes = figure(6.4, 3.6)
    for study in studies:
        draw_history(axes[0, 0], study)
    axes[0, 0].set_xlabel("finished trials")
    axes[0, 0].set_ylabel(f"{metric}, mean of the folds")
    axes[0, 0].set_title("Lines: the best so far. Rings: trials that ran to their end")
    axes[0, 0].legend()
    axes[0, 0].grid(axis="y")
    return save(fig, path)


def draw_history(axes: Axes, study: optuna.Study) -> None:
    trials, name = finished(study), study.study_name
    pick = max if study.direction == optuna.study.StudyDirection.MAXIMIZE else min
    complete = [(n, value_of(trial)) for n, trial in enumerate(trials, 1) if trial.state == TrialState.COMPLETE]
    running = [(n, pick(v for m, v in complete if m <= n)) for n in range(1, len(trials) + 1) if complete[0][0] <= n]
    axes.step(*zip(*running, strict=True), where="post", color=COLOURS[name], label=NAMES[name])
    axes.plot(*zip(*complete, strict=True), "o", color=COLOURS[name], markerfacecolor="none", alpha=0.6)


def importances(studies: Sequence[optuna.Study], space: Space) -> dict[str, float]:
    """How much of the variance of the trials' values each setting explains, by fANOVA (Hutter et al. 2014), of all
    trials that ran to their end; shares that sum to 1. Empty: too few, or all of one value."""
    complete = [t for study in studies for t in finished(study) if t.state == TrialState.COMPLETE]
    if len(complete) < FEWEST or len({trial.value for trial in complete}) == 1:
        return {}
    joint = optuna.create_study(direction=studies[0].direction)
    for trial in complete:
        joint.add_trial(
            optuna.trial.create_trial(params=trial.params, distributions=distributions(space), value=trial.value)
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(joint, evaluator=evaluator))


def importance(path: Path, shares: dict[str, float]) -> Path:
    fig, axes = figure(6.4, 1.2 + 0.32 * len(shares))
    names = list(reversed(shares))
    axes[0, 0].barh(names, [shares[name] for name in names], color=COLOURS[SEARCH], height=0.6)
    for at, name in enumerate(names):
        axes[0, 0].annotate(
            f"{shares[name]:.0%}", (shares[name], at), xytext=(3, 0), textcoords="offset points", va="center", color=INK
        )
    axes[0, 0].set_xlim(0, 1.1)
    axes[0, 0].set_xlabel("share of the variance that the setting explains")
    axes[0, 0].set_title("Which setting matters, over the trials of both searches")
    axes[0, 0].grid(axis="x", color=GRID)
    return save(fig, path)


def settings(path: Path, studies: Sequence[optuna.Study], space: Space, metric: str) -> Path:
    """Every trial that ran to its end, by each of its settings."""
    columns = min(3, len(space))
    rows = math.ceil(len(space) / columns)
    fig, axes = figure(2.6 * columns + 0.6, 2.4 * rows + 0.4, rows, columns, sharey=True)
    for panel, (place, options) in zip(axes.flat, space.items(), strict=False):
        for study in studies:
            complete = [trial for trial in finished(study) if trial.state == TrialState.COMPLETE]
            at = [trial.params[place] for trial in complete]
            style = {"color": COLOURS[study.study_name], "label": NAMES[study.study_name], "alpha": 0.6}
            panel.plot(at, [value_of(trial) for trial in complete], "o", markerfacecolor="none", **style)
        if getattr(options, "log", False):
            panel.set_xscale("log")
        panel.set_xlabel(place)
        panel.grid(axis="y")
    for panel in axes.flat[len(space) :]:
        panel.set_axis_off()
    axes[0, 0].set_ylabel(metric, color=MUTED)
    axes[0, 0].legend()
    return save(fig, path)
