"""reports/tune/<key>/: every trial, what was confirmed, and figures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from optuna.trial import TrialState

from ..shared.core.files import atomic
from ..shared.figures.style import GRID, INK, MUTED, colours, figure, save
from .params import Range, Space
from .search import RANDOM, SEARCH, finished, row, value_of
from .space import Values, distributions, suggested_by

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


def history(path: Path, studies: Sequence[optuna.Study], key: str, metric: str) -> Path:
    """The best value so far, trial by trial, and the trials themselves."""
    fig, axes = figure(6.4, 3.8)
    for study in studies:
        draw_history(axes[0, 0], study)
    axes[0, 0].set_xlabel("trial")
    axes[0, 0].xaxis.get_major_locator().set_params(integer=True)
    axes[0, 0].set_ylabel(f"{metric}, mean of the folds")
    axes[0, 0].set_title(f"{key}: the best settings so far, trial by trial")
    axes[0, 0].grid(axis="y")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    whole = Line2D([], [], color=MUTED, marker="o", markerfacecolor="none", linestyle="")
    early = Line2D([], [], color=MUTED, marker="x", linestyle="")
    below(fig, [*handles, whole, early], [*labels, "trial", "trial that was ended early"])
    return save(fig, path)


def below(fig: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """One legend under all panels, where it covers no point."""
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def draw_history(axes: Axes, study: optuna.Study) -> None:
    trials, colour = finished(study), COLOURS[study.study_name]
    pick = max if study.direction == optuna.study.StudyDirection.MAXIMIZE else min
    complete = [(n, value_of(trial)) for n, trial in enumerate(trials, 1) if trial.state == TrialState.COMPLETE]
    running = [(n, pick(v for m, v in complete if m <= n)) for n in range(1, len(trials) + 1) if complete[0][0] <= n]
    line = "-" if study.study_name == SEARCH else "--"  # both are seen where they are the same
    label = f"{NAMES[study.study_name]}, best so far"
    axes.step(*zip(*running, strict=True), where="post", linestyle=line, label=label, color=colour)
    axes.plot(*zip(*complete, strict=True), "o", markerfacecolor="none", alpha=0.6, color=colour)
    ended = [(n, last_value(trial)) for n, trial in enumerate(trials, 1) if trial.state != TrialState.COMPLETE]
    if early := [(n, value) for n, value in ended if value is not None]:
        axes.plot(*zip(*early, strict=True), "x", alpha=0.6, color=colour)


def last_value(trial: optuna.trial.FrozenTrial) -> float | None:
    """What a trial had when it was ended early; None: nothing yet."""
    steps = trial.intermediate_values
    return steps[max(steps)] if steps else None


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


def settings(path: Path, studies: Sequence[optuna.Study], space: Space, present: Values, key: str, metric: str) -> Path:
    """Every trial that ran to its end, by each of its settings. A choice has a place for each search."""
    columns = min(3, len(space))
    rows = math.ceil(len(space) / columns)
    fig, axes = figure(2.6 * columns + 0.6, 2.4 * rows + 0.8, rows, columns, sharey=True)
    fig.suptitle(f"{key}: whole trials, by each setting", x=0.01, ha="left", fontsize=10, fontweight="bold")
    now = suggested_by(space, present)
    for panel, (place, options) in zip(axes.flat, space.items(), strict=False):
        for study in studies:
            complete = [trial for trial in finished(study) if trial.state == TrialState.COMPLETE]
            at = [position(options, trial.params[place], study.study_name) for trial in complete]
            style = {"color": COLOURS[study.study_name], "label": NAMES[study.study_name], "alpha": 0.6}
            panel.plot(at, [value_of(trial) for trial in complete], "o", markerfacecolor="none", **style)
        if now is not None:
            value = position(options, now[place])
            panel.axvline(value, color=MUTED, linestyle=":", linewidth=1, label="present settings")
        if isinstance(options, Range):
            panel.set_xscale("log" if options.log else "linear")
        else:
            panel.set_xticks(range(len(options)), [in_words(choice) for choice in options])
            panel.set_xlim(-0.6, len(options) - 0.4)
        panel.set_xlabel(place)
        panel.grid(axis="y")
    for panel in axes.flat[len(space) :]:
        panel.set_axis_off()
    for first in axes[:, 0]:
        first.set_ylabel(metric)
    below(fig, *axes[0, 0].get_legend_handles_labels())
    return save(fig, path)


def position(options: Range | list[Any], suggested: Any, study: str = "") -> float:
    """Where a value lies on its axis."""
    if isinstance(options, Range):
        return float(suggested)
    aside = {SEARCH: -0.12, RANDOM: 0.12}.get(study, 0.0)
    return options.index(json.loads(suggested)) + aside


def in_words(choice: Any) -> str:
    """cosine; step, every 3: a line for each field."""
    if not isinstance(choice, Mapping):
        return str(choice)
    return "\n".join(str(value) if name == "name" else f"{name} {value}" for name, value in choice.items())


def write_summary(path: Path, key: str, lines: Sequence[str], figures: Sequence[Path]) -> None:
    """What the terminal said, with the figures: Markdown."""
    pictures = [f"![{figure.stem}]({figure.name})" for figure in figures]
    text = [f"# Search: {key}", "", "```", *lines, "```", "", *pictures, ""]
    with atomic(path) as partial:
        partial.write_text("\n".join(text), encoding="utf-8")
