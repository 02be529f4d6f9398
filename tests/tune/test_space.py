"""What a search may change, and what of it stands in params.yaml afterwards."""

import copy

import pytest

from stages import checking, study
from stages.params_file import overlay, rewriting
from stages.shared.core import settings
from stages.shared.core.errors import UserError
from stages.shared.core.paths import Key
from stages.tune import space
from stages.tune.params import Params

KEY = Key("small_cnn", "fine_tune", "full")


@pytest.fixture
def raw(repository, monkeypatch):
    monkeypatch.chdir(repository)
    return copy.deepcopy(settings.read(repository / "params.yaml"))


def parsed(values):
    return study.tool_settings(Params, {"tune": {"space": values}}, "tune").space


WRONG = [
    ({"train.optimizer.lrr": [1, 2]}, r"tune\.space: train\.optimizer\.lrr: 1 is not valid\..*train\.optimizer\.lrr: unknown key\. Did you mean 'lr'"),
    ({"train.optimizer.lr": {"low": -1.0, "high": 1.0}}, r"train\.optimizer\.lr: -1\.0 is not valid\. .*greater than 0; found -1"),
    ({"train.epochs": {"low": 2.0, "high": 9.0}}, r"train\.epochs: 5\.5 is not valid\. .*valid integer"),
    ({"train.loss": ["cross_entropy", "focall"]}, r"'focall' is not known\. Did you mean 'focal'"),
    ({"strategies.from_scratch.plan": ["a", "b"]}, r"can change settings below train, strategies\.fine_tune, backbones\.small_cnn"),
    ({"preprocess.size": [64, 128]}, r"preprocess and samples stay as they are"),
    ({"train.optimizer.lr": [0.1, 0.2], "train.optimizer": ["sgd", "adam"]}, r"train\.optimizer and train\.optimizer\.lr set the same thing"),
    ({"train.epochs": [1, 2], "strategies.fine_tune.train.epochs": [3, 4]}, r"epochs set the same thing"),
    ({"train.schedule": ["constant", {"name": "constant"}]}, r"train\.schedule: 'constant' and \{'name': 'constant'\} are the same setting"),
    ({"train.seed": [1, 2]}, r"strategies\.fine_tune\.train\.seed: unknown key; it is set as seed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"), WRONG, ids=lambda value: next(iter(value)) if isinstance(value, dict) else ""
)
def test_a_space_that_is_not_valid_stops_before_any_work(raw, values, message):
    with pytest.raises(UserError, match=message):
        space.check(parsed(values), raw, KEY)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"x": {"low": 2, "high": 1}}, "low: 2 is not below high: 1"),
        ({"x": {"low": 0, "high": 1, "log": True}}, "low: 0 has no logarithm"),
        ({}, "at least 1 item"),
    ],
)
def test_a_range_that_is_none_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        parsed(values)


def test_folds_that_the_wilcoxon_test_cannot_use_are_refused():
    with pytest.raises(UserError, match=r"cannot reach p: 0\.1 before the last of 3 folds"):
        study.tool_settings(Params, {"tune": {"pruner": "wilcoxon", "folds": 3}}, "tune")


def test_a_valid_space_is_accepted(raw):
    values = parsed({
        "train.optimizer": [{"name": "sgd", "lr": 0.01}, {"name": "adam", "lr": 0.001}],
        "train.epochs": {"low": 2, "high": 9},
        "strategies.fine_tune.backbone_lr": {"low": 0.01, "high": 1, "log": True},
        "backbones.small_cnn.dropout": [0.0, 0.5],
    })  # fmt: skip
    space.check(values, raw, KEY)
    present = space.present(values, raw, KEY)
    assert present["strategies.fine_tune.backbone_lr"] == 0.5
    assert present["backbones.small_cnn.dropout"] == 0.2
    assert present["train.epochs"] == 20
    assert space.suggested_by(values, present) is None  # dropout 0.2 is no choice


def test_what_is_suggested_is_what_is_written(raw):
    values = parsed(
        {"train.optimizer.lr": {"low": 1e-4, "high": 1e-2}, "train.schedule": ["cosine", {"name": "step", "every": 3}]}
    )
    suggested = {"train.optimizer.lr": 0.00123456, "train.schedule": '{"name": "step", "every": 3}'}
    found = space.values_of(values, suggested)
    assert found == {"train.optimizer.lr": 0.00123, "train.schedule": {"name": "step", "every": 3}}
    params = study.resolve("train", space.with_values(raw, KEY, found), KEY)
    assert params.optimizer.lr == 0.00123
    assert params.optimizer.weight_decay == 0.0001  # as in the section train
    assert params.schedule.name == "step"
    assert params.schedule.every == 3


def test_only_the_models_of_the_targets_strategy_train_again_and_every_comment_stays(raw, tmp_path, monkeypatch):
    before = settings.PARAMS.read_text()
    expected = [key for key in checking.check(raw) if key.strategy == "fine_tune"]
    monkeypatch.chdir(tmp_path)
    settings.PARAMS.write_text(before)
    changes = space.changes({"train.optimizer.lr": 0.00321, "strategies.fine_tune.backbone_lr": 0.25}, KEY)
    with rewriting() as document:
        overlay(document, changes)
    after = settings.read()
    assert space.stale(raw, after) == expected
    assert after["strategies"]["fine_tune"]["train"] == {"optimizer": {"lr": 0.00321}}
    assert after["train"] == raw["train"]
    text = settings.PARAMS.read_text()
    assert [line.partition("#")[2] for line in text.splitlines() if "#" in line] == [
        line.partition("#")[2] for line in before.splitlines() if "#" in line
    ]


def test_a_setting_of_train_is_the_same_whichever_way_its_place_is_written(raw):
    values = parsed({"strategies.fine_tune.train.epochs": [20, 30], "strategies.fine_tune.train.optimizer.lr": [1, 2]})
    assert space.present(values, raw, KEY)["strategies.fine_tune.train.epochs"] == raw["train"]["epochs"]
    raw["strategies"]["fine_tune"]["train"] = {"epochs": 30}
    assert space.present(values, raw, KEY)["strategies.fine_tune.train.epochs"] == 30
    assert "epochs" not in space.fixed(values, raw, KEY)
    losses = parsed({"strategies.fine_tune.train.loss": ["cross_entropy", "focal"]})
    with pytest.raises(UserError, match="val_loss cannot judge a search that changes the loss"):
        space.check_metric("val_loss", "classification", losses, KEY)


def test_an_error_leaves_params_yaml_as_it_was(repository, tmp_path, monkeypatch):
    text = (repository / "params.yaml").read_text()
    monkeypatch.chdir(tmp_path)
    settings.PARAMS.write_text(text)
    with pytest.raises(UserError), rewriting() as document:
        checking.check({**document, "seed": "x"})
    assert settings.PARAMS.read_text() == text


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"optimizer": {"lrr": 1}}, r"strategies\.fine_tune\.train\.optimizer\.lrr: unknown key"),
        ({"epoch": 1}, r"strategies\.fine_tune\.train\.epoch: unknown key"),
        (3, r"strategies\.fine_tune\.train: .*found 3"),
    ],
)
def test_a_wrong_setting_of_one_strategy_is_named_where_it_stands(raw, train, message):
    raw["strategies"]["fine_tune"]["train"] = train
    with pytest.raises(UserError, match=message):
        checking.check(raw)


def test_a_setting_of_one_strategy_is_its_own_and_stands_in_no_recipe(raw):
    raw["strategies"]["fine_tune"]["train"] = {"optimizer": {"name": "sgd", "lr": 0.1}, "epochs": 3}
    other = study.resolve("train", raw, Key("small_cnn", "from_scratch", "full"))
    own = study.resolve("train", raw, KEY)
    assert (other.optimizer.name, other.epochs) == ("adam", 20)
    assert (own.optimizer.name, own.optimizer.momentum, own.epochs) == ("sgd", 0.9, 3)
    assert "train" not in own.model_dump()["strategy"]  # the dump says what the training used


@pytest.mark.parametrize(
    ("metric", "values", "message"),
    [
        ("val_aurok", {"train.epochs": [1, 2]}, r"tune\.metric .*'val_auroc'"),
        (
            "val_loss",
            {"train.loss": ["focal", "cross_entropy"]},
            "val_loss cannot judge a search that changes the loss",
        ),
    ],
)
def test_a_metric_that_cannot_judge_is_refused(metric, values, message):
    with pytest.raises(UserError, match=message):
        space.check_metric(metric, "classification", parsed(values), KEY)
