"""Whole trainings on 32-px images with a known answer."""

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from stages.shared.errors import UserError
from stages.shared.job import Job
from stages.shared.model import load, probabilities
from stages.shared.paths import Key
from stages.train import run

KEY = Key("small_cnn", "from_scratch", "full")


def test_it_learns_what_can_be_learnt_and_the_saved_model_predicts_it(processed, train_params):
    from stages.shared.arrays import load_arrays

    result = run(train_params(epochs=6), Job(KEY))
    assert result.metrics["best_val_auroc"] > 0.95
    model, recipe = load(result.model)
    arrays = load_arrays()
    test = arrays.rows("test")
    assert (probabilities(model, arrays.images, test).argmax(axis=1) == arrays.targets[test]).mean() > 0.9
    assert recipe.classes == ["normal", "sick"]
    assert recipe.params["epochs"] == 6


def test_same_seed_same_weights_and_another_seed_other_weights(processed, train_params):
    weights = []
    for seed in (0, 0, 1):
        augment = [{"HorizontalFlip": {"p": 0.5}}]
        folder = run(train_params(epochs=2, seed=seed, augment=augment), Job(KEY)).model
        weights.append(load_file(folder / "weights.safetensors"))
    first, again, other = weights
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not torch.equal(first["head.1.weight"], other["head.1.weight"])


def test_the_best_epochs_weights_are_kept_though_training_went_on(processed, train_params):
    """AUROC is at its best before the loss is: the kept weights must give that epoch's loss, not the last one's."""
    from stages.shared.arrays import load_arrays

    rule = {"monitor": "val_auroc", "patience": None}
    result = run(train_params(epochs=6, early_stopping=rule, optimizer={"lr": 0.01}, class_weights="none"), Job(KEY))
    history = pd.read_csv("reports/train/small_cnn-from_scratch-full/history.csv")
    best = int(result.metrics["best_epoch"])
    assert best == history["val_auroc"].idxmax() < len(history) - 1
    model, _ = load(result.model)
    arrays = load_arrays()
    rows = arrays.rows("val")
    probs = probabilities(model, arrays.images, rows)
    loss = -np.log(probs[range(len(rows)), arrays.targets[rows]]).mean()
    assert loss == pytest.approx(history["val_loss"][best], rel=1e-3)
    assert loss != pytest.approx(history["val_loss"].iloc[-1], rel=1e-3)


def test_every_epoch_shows_the_images_in_another_order_and_with_another_augmentation(
    processed, train_params, monkeypatch
):
    from stages.train.data import ArrayDataset

    shown = []
    fetch = ArrayDataset.__getitem__

    def note(self, items):
        if self.augment is not None:
            shown.extend(items)
        return fetch(self, items)

    monkeypatch.setattr(ArrayDataset, "__getitem__", note)
    run(train_params(epochs=3, augment=["HorizontalFlip"]), Job(KEY))
    length = len(shown) // 3
    epochs = [shown[i * length : (i + 1) * length] for i in range(3)]
    rows = [[row for row, _ in epoch] for epoch in epochs]
    seeds = [{seed for _, seed in epoch} for epoch in epochs]
    assert sorted(rows[0]) == sorted(rows[1]) == sorted(rows[2])
    assert rows[0] != rows[1] != rows[2] != rows[0]
    assert not seeds[0] & seeds[1]


def test_it_stops_early_and_says_so_in_the_history(processed, train_params):
    rule = {"monitor": "val_accuracy", "patience": 1}
    result = run(train_params(epochs=30, early_stopping=rule), Job(KEY))
    assert result.metrics["epochs"] < 30


def test_curves_are_reported_while_it_trains(processed, train_params):
    seen = []
    run(train_params(epochs=2), Job(KEY, lambda metrics, step: seen.append((step, set(metrics)))))
    assert [step for step, _ in seen] == [0, 1]
    assert {"train_loss", "val_loss", "val_auroc", "lr"} <= seen[0][1]


def test_more_classes_than_two(workspace, train_params, make_processed):
    make_processed(workspace / "data" / "processed", ("a", "b", "c"), patients=45)
    assert run(train_params(epochs=5), Job(KEY)).metrics["best_val_auroc"] > 0.9


def test_a_loss_that_is_not_a_number_stops_with_the_remedy(processed, train_params):
    with pytest.raises(UserError, match="the loss is nan.*optimizer.lr"):
        run(train_params(epochs=3, optimizer={"lr": 1e30}), Job(KEY))


SCRIPT = """
import sys
from stages.shared.job import Job
from stages.shared.paths import Key
from stages.train import Params, run
result = run(Params.model_validate_json(sys.argv[1]), Job(Key("small_cnn", "from_scratch", "full")))
result.discard()
"""


def start(params, repository):
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_WAIT_POLICY": "PASSIVE"}
    arguments = [sys.executable, "-c", SCRIPT, params.model_dump_json()]
    return subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)


def uninterrupted(params):
    """(weights, history) of a training that nobody disturbs; leaves no checkpoint behind."""
    result = run(params, Job(KEY))
    result.discard()
    return load_file(result.model / "weights.safetensors"), pd.read_csv(HISTORY)


HISTORY = "reports/train/small_cnn-from_scratch-full/history.csv"
CURVES = ["epoch", "train_loss", "val_loss", "val_accuracy", "val_auroc"]


@pytest.mark.parametrize("monitor", ["val_loss", "val_auroc"])
def test_a_killed_training_goes_on_from_its_last_epoch_and_ends_with_the_same_weights(
    processed, train_params, repository, monitor
):
    """With val_auroc the best epoch comes early: the last one counts, not the best."""
    augment = [{"HorizontalFlip": {"p": 0.5}}]
    params = train_params(epochs=8, augment=augment, early_stopping={"monitor": monitor, "patience": None})
    expected, history = uninterrupted(params)

    process = start(params, repository)
    for line in process.stderr:
        if "epoch 6/8" in line:
            break
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = start(params, repository)
    said = again.communicate()[1]
    assert again.returncode == 0, said
    assert "resuming from" in said
    assert "epoch 5/8" not in said
    found = load_file("models/small_cnn-from_scratch-full/weights.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    pd.testing.assert_frame_equal(history[CURVES], pd.read_csv(HISTORY)[CURVES])
    assert not list((processed.parents[1] / ".lightbox" / "checkpoints").glob("*/"))


def test_a_training_that_ended_but_was_not_recorded_is_not_repeated(processed, train_params, monkeypatch):
    """It stopped early, then the disk was full: the second try trains no epoch more and reports the whole curve."""
    from stages.train import fit

    params = train_params(epochs=30, early_stopping={"monitor": "val_accuracy", "patience": 2})
    expected, history = uninterrupted(params)
    with monkeypatch.context() as patch:
        patch.setattr(fit, "save", fail_with_full_disk)
        with pytest.raises(OSError, match="No space left"):
            run(params, Job(KEY))
    steps = []
    result = run(params, Job(KEY, lambda metrics, step: steps.append(step)))
    assert steps == list(history["epoch"])
    found = load_file(result.model / "weights.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_two_experiments_that_need_the_same_model_share_it_and_both_end(processed, train_params):
    """As two queue workers do: the second gets the lock before the first has recorded everything."""
    first = run(train_params(epochs=2), Job(KEY))
    weights = load_file(first.model / "weights.safetensors")
    second = run(train_params(epochs=2), Job(KEY))
    first.discard()
    second.discard()
    again = load_file(second.model / "weights.safetensors")
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert not list((processed.parents[1] / ".lightbox" / "checkpoints").glob("*/"))


def fail_with_full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_resumed_training_reports_its_earlier_epochs_too(processed, train_params, monkeypatch):
    from stages.train import fit

    class Killed(BaseException):
        pass

    def die_in_epoch_two(metrics, step):
        if step == 2:
            raise Killed

    params = train_params(epochs=4)
    with pytest.raises(Killed):
        fit.train_member(params, Job(KEY, die_in_epoch_two))
    steps = []
    run(params, Job(KEY, lambda metrics, step: steps.append(step)))
    assert steps == [0, 1, 2, 3]


def test_ctrl_c_ends_with_a_word_and_code_130(processed, train_params, repository):
    script = SCRIPT.replace("result = run(", "import stages.__main__ as m; m.check = lambda _: run(").replace(
        "result.discard()", "sys.exit(m.main(['check']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_WAIT_POLICY": "PASSIVE"}
    arguments = [sys.executable, "-c", script, train_params(epochs=200).model_dump_json()]
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "epoch 2/200" in line:
            break
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "Interrupted. `dvc repro` goes on from here." in said


def test_an_image_size_that_the_backbone_cannot_take_is_named(processed, train_params):
    backbone = {"source": "torchvision", "name": "vit_b_16"}
    with pytest.raises(UserError, match=r"preprocess\.size: vit_b_16 cannot take images of 32×32"):
        run(train_params(backbone=backbone), Job(KEY))
