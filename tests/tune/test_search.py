"""Optuna's studies on made-up trainings with a known optimum."""

import math
import os
import signal
from dataclasses import dataclass

import optuna
import pytest

from stages.shared.core.errors import UserError
from stages.tune import report
from stages.tune.params import Params
from stages.tune.search import RANDOM, SEARCH, Searches, best_first, finished, journal, row
from stages.tune.trainings import Unusable

SPACE = {
    "train.optimizer.lr": {"low": 1e-5, "high": 1.0, "log": True},
    "train.batch_size": {"low": 8, "high": 64},
    "train.schedule": ["constant", {"name": "cosine", "final": 0.1}],
}
PRESENT = {"train.optimizer.lr": 0.1, "train.batch_size": 16, "train.schedule": "constant"}
EPOCHS = 10


@dataclass
class Score:
    value: float


def planted(values, number, repeat, each):
    """Best at lr 0.003, batches of 32 and the cosine; fold and epoch move all settings alike."""
    away = abs(math.log10(values["train.optimizer.lr"] / 0.003)) / 5 + abs(values["train.batch_size"] - 32) / 200
    value = 0.9 - away - 0.1 * (values["train.schedule"] == "constant") + 0.01 * number
    for epoch in range(EPOCHS):
        each(epoch, value * (epoch + 1) / EPOCHS)
    return Score(value)


def searches(storage, train=planted, present=PRESENT, direction="maximize", **changes):
    params = Params.model_validate({"space": SPACE, "trials": 40, "pruner": "none", **changes})
    return Searches(params, direction, train, storage, present)


def run(one, name, trials):
    study = one.open(name)
    while len(finished(study)) < trials:
        one.advance(study)
    return study


@pytest.fixture
def storage():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.storages.InMemoryStorage()


def test_a_planted_optimum_is_found(storage):
    values = best_first(run(searches(storage), SEARCH, 40))[0].user_attrs["values"]
    assert abs(math.log10(values["train.optimizer.lr"] / 0.003)) < 0.4
    assert abs(values["train.batch_size"] - 32) <= 8
    assert values["train.schedule"] == {"name": "cosine", "final": 0.1}


def test_a_loss_is_minimised(storage):
    def loss(values, number, repeat, each):
        return Score(-planted(values, number, repeat, lambda epoch, value: None).value)

    trial = best_first(run(searches(storage, loss, direction="minimize"), SEARCH, 30))[0]
    assert trial.user_attrs["values"]["train.schedule"]["name"] == "cosine"
    assert trial.value == min(t.value for t in storage.get_all_trials(trial_study(storage)))


def trial_study(storage):
    return storage.get_all_studies()[0]._study_id


def test_a_search_killed_in_the_middle_of_a_trial_goes_on_as_if_it_had_not_been(tmp_path):
    """SIGKILL in fold 2 of a trial, and then a power cut that leaves half a line in the journal."""

    def trials(folder, train=planted):
        with journal(folder) as opened:
            one = searches(opened, train)
            studies = [run(one, name, 9) for name in (SEARCH, RANDOM)]
            return [[(t.params, t.value, t.state) for t in finished(study)] for study in studies]

    calls = 0

    def dies(values, number, repeat, each):
        nonlocal calls
        calls += 1
        if calls == 14:
            os.kill(os.getpid(), signal.SIGKILL)
        return planted(values, number, repeat, each)

    child = os.fork()
    if child == 0:
        trials(tmp_path / "killed", dies)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    with (tmp_path / "killed" / "journal.log").open("a") as file:
        file.write('{"op_code": 5, "worker')
    assert trials(tmp_path / "killed") == trials(tmp_path / "whole")


def test_two_processes_cannot_search_in_one_journal(tmp_path):
    with journal(tmp_path / "one"), pytest.raises(UserError, match="another process searches there"):
        journal(tmp_path / "one").__enter__()


def test_both_searches_begin_with_the_present_settings_where_the_space_contains_them(storage):
    one = searches(storage)
    for name in (SEARCH, RANDOM):
        assert finished(run(one, name, 2))[0].user_attrs["values"] == PRESENT
    outside = searches(optuna.storages.InMemoryStorage(), present={**PRESENT, "train.optimizer.lr": 3.0})
    assert finished(run(outside, SEARCH, 1))[0].user_attrs["values"]["train.optimizer.lr"] <= 1.0


def test_the_random_search_does_not_learn_and_both_differ(storage):
    one = searches(storage)
    study, beside = run(one, SEARCH, 40), run(one, RANDOM, 40)

    def cosines(study):
        return sum(t.user_attrs["values"]["train.schedule"] != "constant" for t in finished(study)[8:])

    assert cosines(study) > 24  # of 32: it has learnt which is better
    assert 8 <= cosines(beside) <= 24


@pytest.mark.parametrize(("pruner", "folds"), [("median", 3), ("wilcoxon", 8)])
def test_hopeless_trials_end_early_and_the_best_is_still_found(storage, pruner, folds):
    study = run(searches(storage, pruner=pruner, folds=folds), SEARCH, 40)
    rows = [row(study, trial) for trial in finished(study)]
    pruned = [one for one in rows if one["state"] == "pruned"]
    assert len(pruned) > 5
    assert all(one["epochs"] < folds * EPOCHS for one in pruned)
    assert best_first(study)[0].user_attrs["values"]["train.schedule"]["name"] == "cosine"
    ended = [report.last_value(trial) for trial in finished(study) if trial.state == optuna.trial.TrialState.PRUNED]
    assert all(value < best_first(study)[0].value for value in ended)
    spent = report.budget(study)
    assert spent["trials"] == 40
    assert spent["pruned"] == len(pruned)
    assert spent["epochs"] == sum(one["epochs"] for one in rows) < 40 * folds * EPOCHS


def test_settings_that_train_nothing_are_recorded_and_never_best(storage):
    def diverges(values, number, repeat, each):
        if values["train.optimizer.lr"] > 0.05:
            raise Unusable("the loss is nan")
        return planted(values, number, repeat, each)

    study = run(searches(storage, diverges), SEARCH, 20)
    rows = [row(study, trial) for trial in finished(study)]
    unusable = [one for one in rows if one["state"] == "unusable"]
    assert unusable[0]["trial"] == 0  # the present settings: lr 0.1
    assert all(one["reason"] == "the loss is nan" and one["train.optimizer.lr"] > 0.05 for one in unusable)
    assert best_first(study)[0].user_attrs["values"]["train.optimizer.lr"] < 0.05


def test_a_metric_that_is_no_number_ends_the_trial_and_not_the_search(storage):
    study = run(searches(storage, lambda *_: Score(math.nan)), SEARCH, 3)
    with pytest.raises(UserError, match=r"none of 3 trials .* the metric is nan on fold 1\. Narrow tune\.space"):
        best_first(study)


def test_a_search_that_had_no_time_says_so(storage):
    with pytest.raises(UserError, match=r"no trial \(random\) came to its end before tune\.timeout"):
        best_first(searches(storage).open(RANDOM))


def test_the_setting_that_matters_most_is_said_to_matter_most(storage):
    def only_lr(values, number, repeat, each):
        return Score(-abs(math.log10(values["train.optimizer.lr"] / 0.003)))

    one = searches(storage, only_lr)
    studies = [run(one, name, 20) for name in (SEARCH, RANDOM)]
    shares = report.importances(studies, one.params.space)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["train.optimizer.lr"] > 0.8
    few = [run(searches(optuna.storages.InMemoryStorage(), only_lr), SEARCH, 3)]
    assert report.importances(few, one.params.space) == {}
