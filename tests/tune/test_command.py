"""The whole command on made-up trainings: what it says, writes and leaves."""

import json
import math
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from stages import checking, study
from stages.commands import main
from stages.params_file import rewriting
from stages.shared.core import settings
from stages.shared.core.job import Result
from stages.shared.tracking import recording
from stages.tune import command
from stages.tune.trainings import Curve, Unusable

NAME = "small_cnn-fine_tune-full"


class Planted:
    """Best at lr 0.003. Counts its trainings, as Trainings does not train twice."""

    calls = 0

    def __init__(self, raw, key, metric, memory):
        self.present = study.resolve("train", raw, key).optimizer.lr

    def __call__(self, values, number, repeat=0, each=lambda epoch, value: None):
        Planted.calls += 1
        value = (
            0.9 - abs(math.log10(values.get("train.optimizer.lr", self.present) / 0.003)) / 5 + 0.001 * repeat * number
        )
        each(0, value)
        return Curve([value], [value], "max", 300, 75, 1.0)


class Recorder:
    def __init__(self):
        self.result, self.parts = Result(), []

    def part(self, name, params, metrics, curve):
        self.parts.append((name, params, metrics))


@pytest.fixture
def recorder(repository, workspace, monkeypatch):
    shutil.copy(repository / "params.yaml", "params.yaml")
    shutil.copytree(repository / "models" / "pretrained", "models/pretrained")
    (workspace / "data" / "processed").mkdir(parents=True)
    (workspace / "data" / "processed" / "meta.json").write_text('{"fingerprint": "x"}')
    one = Recorder()

    @contextmanager
    def opened(*_):
        yield one

    monkeypatch.setattr(recording, "recording", opened)
    monkeypatch.setattr(command, "Trainings", Planted)
    monkeypatch.setattr(checking, "check_data", lambda raw: None)
    monkeypatch.setattr(checking, "check_all", checking.check)
    with rewriting() as document:
        document["tune"]["trials"] = 12
    return one


def test_the_winner_is_written_the_report_is_there_and_a_second_call_trains_no_trial(recorder, capsys):
    before = settings.read()
    assert main(["tune", NAME, "--keep"]) == 0
    assert settings.read() == before
    trained = Planted.calls
    assert main(["tune", NAME]) == 0
    assert Planted.calls - trained == 3 * 2 * 3  # only what confirms: this stand-in remembers nothing
    output = capsys.readouterr().out
    assert "the random search" in output
    assert "The search beat the present settings" in output
    assert "6 models train again: small_cnn-fine_tune-tenth," in output
    after = settings.read()
    found = after["strategies"]["fine_tune"]["train"]["optimizer"]["lr"]
    assert abs(math.log10(found / 0.003)) < 0.2
    assert {name: section for name, section in after.items() if name != "strategies"} == {
        name: section for name, section in before.items() if name != "strategies"
    }
    folder = command.report_dir("tune") / NAME
    table = pd.read_csv(folder / "trials.csv")
    assert table.groupby("study").size().to_dict() == {"random": 12, "search": 12}
    result = json.loads((folder / "result.json").read_text())
    assert result["winner"] in ("search", "random")
    assert result["importance"]["train.optimizer.lr"] > 0.5
    assert {path.name for path in folder.glob("*.png")} == {"history.png", "importance.png", "settings.png"}
    summary = (folder / "summary.md").read_text()
    assert "The search beat the present settings" in summary
    assert "![importance](importance.png)" in summary
    assert [name for name, _, _ in recorder.parts[:2]] == ["search 0", "random 0"]
    assert len(recorder.parts) == 24
    assert recorder.result.metrics["tune/search"] > 0.8
    assert main(["tune", NAME]) == 0
    assert "stays as it is: nothing gave a better mean" in capsys.readouterr().out


def test_settings_that_train_with_one_seed_only_are_not_the_winner(recorder, capsys, monkeypatch):
    """Neither the present ones nor the best of the search come to their end with another seed."""
    refused = []

    class Unsteady(Planted):
        def __call__(self, values, number, repeat=0, each=lambda epoch, value: None):
            lr = values["train.optimizer.lr"]
            if repeat and (lr == self.present or not refused or lr == refused[0]):
                refused.append(lr)
                raise Unusable("the loss is nan")
            return super().__call__(values, number, repeat, each)

    monkeypatch.setattr(command, "Trainings", Unsteady)
    assert main(["tune", NAME]) == 0
    output = capsys.readouterr()
    assert output.err.count("not with another seed: the loss is nan") >= 2
    assert "the present settings:" in output.err
    result = json.loads((command.report_dir("tune") / NAME / "result.json").read_text())
    assert [one["name"] for one in result["candidates"]] == ["search", "random"]
    lr = result["candidates"][0]["values"]["train.optimizer.lr"]
    table = pd.read_csv(command.report_dir("tune") / NAME / "trials.csv")
    ranked = table[table.study == "search"].sort_values("value", ascending=False)["train.optimizer.lr"]
    assert lr == ranked.drop_duplicates().iloc[1]


def folder(name=NAME):
    """Of the journal, as params.yaml and the files are now."""
    raw = settings.read()
    return command.folder_of(command.find_target(raw, name, checking.members(checking.check(raw))))


def test_earlier_trials_are_those_of_the_same_starting_weights(recorder):
    shipped = Path("models/pretrained/small_cnn_phantom.safetensors")
    before, random = folder(), folder("small_cnn-from_scratch-full")
    other = Path("models/pretrained/other.safetensors")
    other.write_bytes(shipped.read_bytes() + b"\0")
    assert folder() == before
    with rewriting() as document:
        document["tune"]["space"]["backbones.small_cnn.weights"] = [str(shipped), str(other)]
    searched = folder()
    other.write_bytes(shipped.read_bytes() + b"\1")
    assert folder() != searched  # the weights of a choice
    with rewriting() as document:
        del document["tune"]["space"]["backbones.small_cnn.weights"]
    assert folder() == before
    shipped.write_bytes(shipped.read_bytes() + b"\0")
    assert folder() != before
    assert folder("small_cnn-from_scratch-full") == random


def test_earlier_trials_are_those_of_the_same_code(repository):
    """What DVC trains again after an edit of, makes trials stale as well."""
    stage = YAML(typ="safe").load((repository / "dvc.yaml").read_text())["stages"]["train"]
    assert {f"stages/{place}" for place in command.CODE} == {d for d in stage["deps"] if d.startswith("stages/")}


def test_a_choice_that_means_the_present_settings_is_where_both_searches_begin(recorder, capsys):
    """It is written shorter than the dump of all its fields."""
    optimizer = {"name": "adam", "lr": settings.read()["train"]["optimizer"]["lr"]}
    with rewriting() as document:
        document["tune"]["space"] = {
            "train.optimizer": [{"name": "sgd", "lr": 0.5}, optimizer],
            "train.schedule": ["constant", "cosine"],
        }
        document["tune"]["trials"] = 2
        document["train"]["schedule"] = {"name": "constant", "warmup_epochs": 0}
    raw = settings.read()
    target = command.find_target(raw, NAME, checking.members(checking.check(raw)))
    assert target.present == {"train.optimizer": optimizer, "train.schedule": "constant"}
    earlier = command.report_dir("tune") / NAME / "importance.png"
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"of more trials")
    assert main(["tune", NAME]) == 0
    assert not earlier.exists()
    first = recorder.parts[0][1]
    assert (first["train.optimizer"], first["train.schedule"]) == (optimizer, "constant")
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], r"tune\.target: null, and the command names no model"),
        (["small_cnn-fine_tune-ful"], "Did you mean 'small_cnn-fine_tune-full'"),
    ],
)
def test_a_target_that_is_none_is_refused(recorder, capsys, arguments, message):
    assert main(["tune", *arguments]) == 1
    assert re.search(message, capsys.readouterr().err)
