"""The search itself: trials of Optuna in a journal, so that one that was interrupted goes on as if it had not been.

A trial trains on one fold after the other, and its value is their mean. What it suggests depends on the finished trials
and their number alone: the sampler gets a seed of its own for every trial.
"""

from __future__ import annotations

import logging
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState

from ..shared.core.errors import UserError
from .params import Median, NoPruner, Params, Pruner, Wilcoxon
from .space import Values, distributions, suggested_by, values_of
from .trainings import Each, Unusable

SEARCH, RANDOM = "search", "random"
STARTUP = 8  # trials before a sampler learns from them; they are drawn at random
STRIDE = 100_000  # between the first epochs of two folds, in a trial's steps: the largest number of epochs
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class Scored(Protocol):
    """A training that came to its end."""

    @property
    def value(self) -> float: ...


Train = Callable[[Values, int, int, Each], Scored]  # values, number of the fold, repeat, each epoch


@dataclass(frozen=True)
class Searches:
    """Of one target: the search and the random search beside it. Both begin with the present settings."""

    params: Params
    direction: Literal["minimize", "maximize"]
    train: Train
    storage: optuna.storages.BaseStorage
    present: Values

    def open(self, name: str) -> optuna.Study:
        """With what it has so far. An interrupted trial counts as failed, and the next one suggests the same."""
        study = optuna.create_study(
            study_name=name,
            storage=self.storage,
            direction=self.direction,
            pruner=make_pruner(self.params.pruner),
            load_if_exists=True,
        )
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
        return study

    def advance(self, study: optuna.Study) -> FrozenTrial:
        """One more trial."""
        done = len(finished(study))
        study.sampler = make_sampler(study.study_name, self.params, done)
        start = suggested_by(self.params.space, self.present) if not done else None
        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if start and not waiting:
            study.enqueue_trial(start)
        trial = study.ask(distributions(self.params.space))
        try:
            value = self.objective(trial)
        except (optuna.TrialPruned, Unusable) as reason:
            if isinstance(reason, Unusable):
                trial.set_user_attr("reason", str(reason))
            return study.tell(trial, state=TrialState.PRUNED)
        return study.tell(trial, value)

    def objective(self, trial: optuna.Trial) -> float:
        """The mean over the folds, of which `each` tells the pruner."""
        since = time.monotonic()
        values: list[float] = []
        epochs = 0
        suggested = values_of(self.params.space, trial.params)
        trial.set_user_attr("values", suggested)

        def each(epoch: int, value: float) -> None:
            nonlocal epochs
            epochs += 1
            if isinstance(self.params.pruner, Median):
                trial.report(statistics.fmean([*values, value]), len(values) * STRIDE + epoch)
                self.end_if_hopeless(trial)

        try:
            for number in range(self.params.folds):
                values.append(self.train(suggested, number, 0, each).value)
                if not math.isfinite(values[-1]):
                    raise Unusable(f"the metric is {values[-1]} on fold {number + 1}")
                if isinstance(self.params.pruner, Wilcoxon):
                    trial.report(values[-1], number)
                    self.end_if_hopeless(trial)
        finally:
            trial.set_user_attr("folds", values)
            trial.set_user_attr("epochs", epochs)
            trial.set_user_attr("seconds", round(time.monotonic() - since, 1))
        return statistics.fmean(values)

    def end_if_hopeless(self, trial: optuna.Trial) -> None:
        if trial.should_prune():
            raise optuna.TrialPruned


def finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=FINISHED)


def best_first(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that came to their end; of equal ones the earlier first.

    Raises:
        UserError: there is none.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if complete:
        sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
        return sorted(complete, key=lambda trial: sign * value_of(trial))
    ended = finished(study)
    if not ended:
        raise UserError(
            f"tune: no trial ({study.study_name}) came to its end before tune.timeout. Call it again, which goes on, "
            "or allow more minutes."
        )
    reasons = [str(trial.user_attrs["reason"]) for trial in ended if "reason" in trial.user_attrs]
    why = reasons[0] if reasons else "all of them were pruned"
    raise UserError(
        f"tune: none of {len(ended)} trials ({study.study_name}) came to its end: {why.rstrip('.')}. Narrow tune.space."
    )


def value_of(trial: FrozenTrial) -> float:
    assert trial.value is not None  # of a trial that came to its end
    return trial.value


def make_sampler(name: str, params: Params, done: int) -> optuna.samplers.BaseSampler:
    """For the trial after `done` finished ones."""
    seed = int(np.random.SeedSequence([params.seed, done, name == RANDOM]).generate_state(1)[0])
    if name == RANDOM:
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)


def make_pruner(pruner: Pruner) -> optuna.pruners.BasePruner:
    if isinstance(pruner, NoPruner):
        return optuna.pruners.NopPruner()
    if isinstance(pruner, Wilcoxon):
        return optuna.pruners.WilcoxonPruner(p_threshold=pruner.p)
    return optuna.pruners.MedianPruner(pruner.startup_trials, pruner.warmup_epochs)


@contextmanager
def journal(folder: Path) -> Iterator[optuna.storages.BaseStorage]:
    """The storage in this folder, for one process at a time.

    Raises:
        UserError: another process searches there.
    """
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    folder.mkdir(parents=True, exist_ok=True)
    path, lock = folder / "journal.log", FileLock(folder.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{folder}: another process searches there. Wait for it, or end it.") from None
    with lock:
        Path(f"{path}.lock").unlink(missing_ok=True)  # of a process that was killed while it wrote
        drop_cut_line(path)
        yield optuna.storages.JournalStorage(JournalFileBackend(str(path)))


def drop_cut_line(path: Path) -> None:
    """Without a last line that was cut short: the next one would be appended to it."""
    if path.exists():
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            path.write_bytes(content[: content.rfind(b"\n") + 1])


def row(study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
    """Of the table of trials."""
    about: Mapping[str, Any] = trial.user_attrs
    state = "unusable" if "reason" in about else trial.state.name.lower()
    folds = {f"fold_{i + 1}": value for i, value in enumerate(about.get("folds", []))}
    return {
        "study": study.study_name,
        "trial": trial.number,
        "state": state,
        "value": trial.value if trial.state == TrialState.COMPLETE else None,
        "epochs": about.get("epochs"),
        "seconds": about.get("seconds"),
        **about.get("values", {}),
        **folds,
        "reason": about.get("reason"),
    }
