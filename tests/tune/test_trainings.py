"""Real trainings of a search, on 32-px images."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stages.shared.arrays.arrays import load_arrays
from stages.shared.core import settings
from stages.shared.core.paths import Key
from stages.train import stage
from stages.tune.trainings import Trainings, Unusable

KEY = Key("small_cnn", "from_scratch", "full")


@pytest.fixture
def trainings(repository, processed):
    raw = copy.deepcopy(settings.read(repository / "params.yaml"))
    raw["train"] |= {"epochs": 3, "augment": [], "min_steps_per_epoch": 1}
    raw["preprocess"]["split"]["folds"] = 4
    return lambda: Trainings(raw, KEY, "val_auroc", Path("memory.jsonl"))


class Guarded(np.ndarray):
    """Images of which some rows cannot be read."""

    def __getitem__(self, rows):
        assert not np.isin(np.arange(len(self.forbidden))[rows], np.flatnonzero(self.forbidden)).any()
        return np.asarray(super().__getitem__(rows))


@pytest.fixture
def test_images_unreadable(monkeypatch):
    def guarded():
        arrays = load_arrays()
        images = np.asarray(arrays.images).copy()
        forbidden = np.asarray(arrays.index["split"] == "test")
        assert forbidden.any()
        images[forbidden] = 255
        images = images.view(Guarded)
        images.forbidden = forbidden
        return replace(arrays, images=images)

    monkeypatch.setattr(stage, "load_arrays", guarded)


def test_it_learns_without_a_test_image_on_one_fold_after_the_other_and_nothing_twice(
    trainings, test_images_unreadable, monkeypatch
):
    values, first, seen = {"train.optimizer.lr": 0.003}, trainings(), []
    curves = [first(values, number, 0, lambda epoch, value: seen.append(value)) for number in range(2)]
    assert max(curve.value for curve in curves) > 0.8
    assert curves[0].value == max(seen[:3])  # the epoch whose weights would be kept
    assert [first.fold(number) for number in range(5)] == [0, 1, 2, 3, 0]
    index = load_arrays().index
    assert [curve.validation for curve in curves] == [(index["fold"] == fold).sum() for fold in range(2)]
    assert not list(Path(".lightbox/checkpoints").glob("*/"))
    assert not Path("models").exists()
    memory = Path("memory.jsonl")
    memory.write_text(memory.read_text() + '{"training": "cut')
    monkeypatch.setattr(stage, "curve", lambda *_: pytest.fail("trained again"))
    again = []
    second = trainings()
    assert second(values, 1, 0, lambda epoch, value: again.append(value)) == curves[1]
    assert again == seen[3:]


def test_a_training_that_is_ended_leaves_no_checkpoint_and_is_not_remembered(trainings):
    class Enough(Exception):
        pass

    def ends(epoch, value):
        raise Enough

    with pytest.raises(Enough):
        trainings()({}, 0, 0, ends)
    assert not list(Path(".lightbox/checkpoints").glob("*/"))
    assert not Path("memory.jsonl").exists()


def test_a_metric_that_is_no_number_is_not_remembered(trainings, monkeypatch):
    def curve(params, job):
        job.report({"val/auroc": float("nan"), "val/loss": 0.5}, 0)
        return stage.Curve([], 300, 75)

    monkeypatch.setattr(stage, "curve", curve)
    with pytest.raises(Unusable, match="val_auroc is nan on fold 2"):
        trainings()({}, 1)
    assert not Path("memory.jsonl").exists()


def test_a_table_of_trials_names_no_patient(trainings):
    with pytest.raises(Unusable) as caught:
        trainings()({"train.optimizer.lr": 1e30}, 0)
    assert str(caught.value) == f"train@{KEY}: the loss is nan"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train.optimizer.lr": 1e30}, "the loss is nan"),
        ({"train.sampling": "balanced"}, "would count rare classes twice"),
    ],
)
def test_settings_that_train_nothing_say_why(trainings, values, message):
    with pytest.raises(Unusable, match=message):
        trainings()(values, 0)
