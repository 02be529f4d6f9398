"""The whole search, step by step."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import checking, study
from ..params_file import overlay, rewriting
from ..shared.core import settings
from ..shared.core.allocator import keep_freed_memory
from ..shared.core.code import digest_of
from ..shared.core.errors import UserError, unknown
from ..shared.core.files import finite, write_json
from ..shared.core.job import Result
from ..shared.core.paths import PARAMS, PROCESSED, Key, project_root, report_dir
from ..shared.core.progress import progress
from . import space, verdict
from .params import Params
from .trainings import Trainings, Unusable

if TYPE_CHECKING:
    import optuna

    from ..shared.tracking.recording import Recorder
    from .search import Searches

# that decides what a training gives: all that dvc.yaml has it watch
CODE = ("train", "shared/arrays", "shared/core", "shared/images", "shared/model", "shared/tasks")


@dataclass(frozen=True)
class Target:
    """Whose settings are searched, and by which metric."""

    raw: Mapping[str, Any]
    key: Key
    params: Params
    metric: str
    present: space.Values

    @property
    def sign(self) -> int:
        """-1 where lower is better."""
        return -1 if self.metric == "val_loss" else 1

    @property
    def present_values(self) -> space.Values:
        """The present settings as a trial has them: without those that do not exist, as the momentum of adam."""
        options = self.params.space
        return {
            place: value
            for place, value in self.present.items()
            if value is not None or (isinstance(options[place], list) and None in options[place])
        }


def run(name: str | None, keep: bool) -> None:
    """Search, confirm, report, and write the best settings into params.yaml unless `keep`."""
    from ..shared.tracking.recording import recording

    raw = settings.read()
    keys = checking.members(checking.check_all(raw))
    target = find_target(raw, name, keys)
    checking.check_data(raw)
    keep_freed_memory()
    about = "Settings that were searched, judged on validation folds."
    study_settings = {part: section for part, section in raw.items() if part not in study.TABLES}
    title = f"{raw['task']}, {study.source_in_words(raw)}"
    logged = {"tune": target.params.model_dump(mode="json")}
    with recording("tune", target.key, logged, study_settings, about, title) as recorder:
        recorder.result = search(target, keep, recorder)


def find_target(raw: Mapping[str, Any], name: str | None, keys: list[Key]) -> Target:
    """Everything that can be wrong with a search is found here, before any training.

    Raises:
        UserError: no such model, or the section `tune` does not suit it.
    """
    params = study.tool_settings(Params, raw, "tune")
    name = name or params.target
    known = {str(key): key for key in keys}
    if name is None:
        first = keys[-1]
        raise UserError(
            f"{PARAMS}: tune.target: null, and the command names no model. Say which model's settings to search, e.g. "
            f"python -m stages tune {first}. Models: {', '.join(known)}."
        )
    if name not in known:
        raise unknown("python -m stages tune", name, known)
    key = known[name]
    training = study.resolve("train", raw, key)
    folds = study.resolve("preprocess", raw).split.folds
    if params.folds > folds:
        raise UserError(
            f"{PARAMS}: tune.folds: {params.folds}: preprocess.split.folds makes {folds}. Give 1 to {folds}."
        )
    if training.trainer.world > 1:
        raise UserError(
            f"{PARAMS}: train.trainer: {training.trainer.world} processes train one model; a search trains with one. "
            "Set trainer.devices: 1 and trainer.num_nodes: 1 for it."
        )
    metric = params.metric or training.early_stopping.monitor
    space.check_metric(metric, raw["task"], params.space, key)
    space.check(params.space, raw, key)
    return Target(raw, key, params, metric, space.present(params.space, raw, key))


def search(target: Target, keep: bool, recorder: Recorder) -> Result:
    from . import report
    from .search import Searches, journal

    folder = folder_of(target)
    out = report_dir("tune", target.key)
    with journal(folder) as storage:
        trainings = Trainings(target.raw, target.key, target.metric, folder / "trainings.jsonl")
        searches = Searches(
            target.params, "maximize" if target.sign > 0 else "minimize", trainings, storage, target.present
        )
        studies = run_trials(searches, recorder)
        candidates, share = confirm(target, studies, trainings)
        compared = verdict.differences(candidates, target.params.folds, share, target.sign)
        best = verdict.winner(candidates, target.sign)
        out.mkdir(parents=True, exist_ok=True)
        report.write_trials(out / "trials.csv", studies)
        figures = [
            report.history(out / "history.png", studies, str(target.key), target.metric),
            report.settings(
                out / "settings.png", studies, target.params.space, target.present, str(target.key), target.metric
            ),
        ]
        (out / "importance.png").unlink(missing_ok=True)  # of an earlier search, with more trials
        if shares := report.importances(studies, target.params.space):
            figures.append(report.importance(out / "importance.png", shares))
        budget = {one.study_name: report.budget(one) for one in studies}
    sentences = [verdict.sentence(one, target.metric) for one in compared]
    write_json(
        out / "result.json",
        {
            "target": str(target.key),
            "metric": target.metric,
            "folds": target.params.folds,
            "seeds": target.params.confirm,
            "budget": budget,
            "importance": shares,
            "candidates": [asdict(candidate) for candidate in candidates.values()],
            "differences": [
                {**asdict(one), "low": finite(one.low), "high": finite(one.high), "verdict": one.verdict}
                for one in compared
            ],
            "winner": best.name,
            "sentences": sentences,
        },
    )
    lines = in_words(target, candidates, budget, sentences)
    print("\n".join(["", *lines]))
    report.write_summary(out / "summary.md", str(target.key), lines, figures)
    write_winner(target, best, keep)
    print(f"Report: {out}/summary.md, with figures, trials.csv and result.json beside it")
    means = {f"tune/{candidate.name}": candidate.mean for candidate in candidates.values()}
    return Result(metrics=means, figures=tuple(figures))


def folder_of(target: Target) -> Path:
    """Of the journal: named by all that its values depend on, so that a search goes on as long as that is the same.
    The searched settings themselves are not part of it: they are what changes when a search has ended. Nor is the
    number of trials: more of them go on where fewer ended."""
    searched = target.params.model_dump(mode="json", exclude={"target", "trials", "timeout", "confirm"})
    fixed = space.fixed(target.params.space, target.raw, target.key)
    data = json.loads((PROCESSED / "meta.json").read_text(encoding="utf-8"))["fingerprint"]
    weights = space.starts(target.params.space, target.raw, target.key)
    facts = json.dumps([searched, fixed, data, weights, digest_of(*CODE)], sort_keys=True, default=str)
    digest = hashlib.sha256(facts.encode()).hexdigest()[:16]
    return project_root() / ".lightbox" / "tune" / f"{target.key}-{digest}"


def run_trials(searches: Searches, recorder: Recorder) -> list[optuna.Study]:
    """Both searches in turn, so that their budgets are equal whenever it ends."""
    from .search import RANDOM, SEARCH, finished

    params, since = searches.params, time.monotonic()
    studies = [searches.open(name) for name in (SEARCH, RANDOM)]
    done = sum(len(finished(one)) for one in studies)
    if done:
        print(f"tune: {done} trials are there from before.", file=sys.stderr)
    with progress(desc="tune", unit="trials", total=2 * params.trials, done=min(done, 2 * params.trials)) as bar:
        for number in range(params.trials):
            for one in studies:
                if len(finished(one)) > number:
                    continue
                if params.timeout is not None and time.monotonic() - since > 60 * params.timeout:
                    print(f"tune: {params.timeout:g} minutes are over; the next call goes on.", file=sys.stderr)
                    return studies
                log_trial(recorder, one, searches.advance(one))
                bar.update()
    return studies


def log_trial(recorder: Recorder, one: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    """A run of MLflow below the search's own, and one more point of its curve."""
    about = trial.user_attrs
    metrics = {"value": trial.value} if trial.value is not None else {}
    params = {**about.get("values", {}), "state": trial.state.name.lower()}
    curve = {"so_far": [value for _, value in sorted(trial.intermediate_values.items())]}
    recorder.part(f"{one.study_name} {trial.number}", params, {**metrics, "epochs": about.get("epochs", 0)}, curve)


def confirm(
    target: Target, studies: list[optuna.Study], trainings: Trainings
) -> tuple[dict[str, verdict.Candidate], float]:
    """(the best settings of each search and the present ones, with what they give with seeds that chose nothing;
    validation images as a share of training images). Settings that train nothing with such a seed are not usable: the
    next best of their search take their place; the present ones then have none.

    Raises:
        UserError: no settings of a search can be trained with other seeds.
    """
    from .search import best_first

    settings_of = {one.study_name: [trial.user_attrs["values"] for trial in best_first(one)] for one in studies}
    settings_of[verdict.PRESENT] = [target.present_values]
    places = [(fold, repeat) for repeat in range(1, target.params.confirm + 1) for fold in range(target.params.folds)]
    candidates, share = {}, 0.0
    with progress(desc="confirm", unit="trainings", total=len(settings_of) * len(places)) as bar:
        for name, several in settings_of.items():
            for values in several:
                scores = []
                try:
                    for fold, repeat in places:
                        curve = trainings(values, fold, repeat)
                        scores.append(curve.value)
                        share = curve.validation / curve.train
                        bar.update()
                except Unusable as reason:
                    print(f"tune: {verdict.LABELS[name]}: {values}: not with another seed: {reason}", file=sys.stderr)
                    continue
                candidates[name] = verdict.Candidate(name, values, scores)
                break
            if name not in candidates and name != verdict.PRESENT:
                raise UserError(
                    f"tune: {verdict.LABELS[name]}: no settings can be trained with another seed, see above. Narrow "
                    "tune.space to values that train more steadily, such as a lower learning rate."
                )
    return candidates, share


def in_words(
    target: Target, candidates: Mapping[str, verdict.Candidate], budget: Mapping[str, Any], sentences: list[str]
) -> list[str]:
    """The lines that the terminal shows."""
    params = target.params
    folds, seeds = (f"{n} {name}{'s' * (n != 1)}" for n, name in ((params.folds, "fold"), (params.confirm, "seed")))
    lines = [f"{target.key}: {target.metric}, mean of {folds} × {seeds} that chose nothing"]
    for name, candidate in candidates.items():
        values = ", ".join(f"{place} {value}" for place, value in candidate.values.items())
        lines.append(f"  {verdict.LABELS[name]:22} {candidate.mean:.4f}   {values}")
    for name, spent in budget.items():
        cost = f"{spent['trials']} trials, {spent['epochs']} epochs, {spent['pruned']} ended early"
        lines.append(f"  {verdict.LABELS[name]:22} {cost}")
    return [*lines, *sentences]


def write_winner(target: Target, best: verdict.Candidate, keep: bool) -> None:
    """Write the settings into params.yaml, as an override of the target's strategy."""
    if best.name == verdict.PRESENT:
        print(f"{PARAMS} stays as it is: nothing gave a better mean than the present settings.")
        return
    changed = {place: value for place, value in best.values.items() if value != target.present[place]}
    after = space.with_values(target.raw, target.key, changed)
    models = space.stale(target.raw, after)
    if keep:
        print(f"{PARAMS} stays as it is (--keep). These settings would train {len(models)} models again.")
        return
    with rewriting() as document:
        overlay(document, space.changes(changed, target.key))
        checking.check(document)
    print(
        f"{PARAMS} now has the settings of {verdict.LABELS[best.name]}: "
        + json.dumps(space.changes(changed, target.key))
    )
    print(f"{len(models)} models train again: {', '.join(map(str, models))}. Next: make run")
