"""Nothing is lost: trainings that are killed, run out of disk or memory, or leave the numbers, and go on."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import Key
from stages.train import run

KEY = Key("small_cnn", "from_scratch", "full")
WEIGHTS = "models/small_cnn-from_scratch-full/weights.safetensors"


class Killed(BaseException):
    pass


def dies_in(epoch):
    """A report that ends the process, so to speak, after that epoch (from 0)."""

    def report(metrics, step):
        if step == epoch:
            raise Killed

    return report


def start(params, repository, *options):
    """A training in a process of its own; `options` of training_process.py."""
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_WAIT_POLICY": "PASSIVE"}
    script = Path(__file__).with_name("training_process.py")
    arguments = [sys.executable, str(script), params.model_dump_json(), *options]
    return subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)


def uninterrupted(params):
    """(weights, history) of a training that nobody disturbs; leaves no checkpoint behind."""
    result = run(params, Job(KEY))
    result.discard()
    return load_file(result.model / "weights.safetensors"), pd.read_csv(HISTORY)


HISTORY = "reports/train/small_cnn-from_scratch-full/history.csv"
CURVES = ["epoch", "train_loss", "val_loss", "val_accuracy", "val_auroc"]


def test_a_killed_training_goes_on_from_its_last_epoch_and_ends_with_the_same_weights(
    processed, train_params, repository
):
    """With val_auroc the best epoch comes early: the last one counts, not the best."""
    augment = [{"HorizontalFlip": {"p": 0.5}}]
    params = train_params(epochs=8, augment=augment, early_stopping={"monitor": "val_auroc", "patience": None})
    expected, history = uninterrupted(params)

    process = start(params, repository, "--signal=SIGKILL", "--epoch=6", "--batch=1")
    assert "epoch 6/8" in process.communicate()[1]
    assert process.returncode == -signal.SIGKILL
    again = start(params, repository)
    said = again.communicate()[1]
    assert again.returncode == 0, said
    assert "resuming from" in said
    assert "epoch 5/8" not in said
    found = load_file("models/small_cnn-from_scratch-full/weights.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    pd.testing.assert_frame_equal(history[CURVES], pd.read_csv(HISTORY)[CURVES])
    assert not list((processed.parents[1] / ".lightbox" / "checkpoints").glob("*/"))


def test_of_an_ended_training_only_the_first_process_writes_what_comes_of_it(processed, train_params, monkeypatch):
    """It ended, then the disk was full: both processes of the second try find it done."""
    from stages.train import stage

    params = train_params(epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "save", fail_with_full_disk)
        with pytest.raises(OSError, match="No space left"):
            run(params, Job(KEY))
    with monkeypatch.context() as second:
        second.setenv("RANK", "1")
        assert run(params, Job(KEY)).model is None
    assert not Path("models").exists()
    assert run(params, Job(KEY)).model is not None


def test_a_training_that_ended_but_was_not_recorded_is_not_repeated(processed, train_params, monkeypatch):
    """It stopped early, then the disk was full: the second try trains no epoch more and reports the whole curve."""
    from stages.train import stage

    params = train_params(epochs=30, early_stopping={"monitor": "val_accuracy", "patience": 2})
    expected, history = uninterrupted(params)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "save", fail_with_full_disk)
        with pytest.raises(OSError, match="No space left"):
            run(params, Job(KEY))
    steps = []
    result = run(params, Job(KEY, lambda metrics, step: steps.append(step)))
    assert steps == list(history["epoch"])
    found = load_file(result.model / "weights.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_training_killed_just_after_it_stopped_early_goes_no_further(processed, train_params, monkeypatch):
    params = train_params(epochs=30, early_stopping={"monitor": "val_accuracy", "patience": 2})
    expected, history = uninterrupted(params)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.touch", die)  # between the last checkpoint and the mark that all is done
        with pytest.raises(KeyboardInterrupt):
            run(params, Job(KEY))
    found = load_file(run(params, Job(KEY)).model / "weights.safetensors")
    assert len(pd.read_csv(HISTORY)) == len(history)
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


def test_a_resumed_training_reports_its_earlier_epochs_too(processed, train_params):
    params = train_params(epochs=4)
    with pytest.raises(Killed):
        run(params, Job(KEY, dies_in(2)))
    steps = []
    run(params, Job(KEY, lambda metrics, step: steps.append(step)))
    assert steps == [0, 1, 2, 3]


def test_ctrl_c_ends_with_a_word_and_code_130(processed, train_params, repository):
    process = start(train_params(epochs=200), repository)
    until(process, "epoch 2/200")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "Interrupted. `dvc repro` goes on from here." in said


def checkpoints(processed):
    return list((processed.parents[1] / ".lightbox" / "checkpoints").glob("*/*.ckpt"))


def until(process, words):
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"it never said {words!r}")


def test_ctrl_c_while_a_checkpoint_is_written_waits_for_it(processed, train_params, monkeypatch):
    """torch.save would turn it into an error of its own."""
    save = torch.save

    def interrupted(checkpoint, file):
        os.kill(os.getpid(), signal.SIGINT)
        save(checkpoint, file)

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(train_params(), Job(KEY))
    monkeypatch.undo()
    assert len(checkpoints(processed)) == 1
    torch.load(checkpoints(processed)[0], weights_only=True)


def test_sigterm_in_the_middle_of_an_epoch_ends_with_a_word_and_loses_no_whole_epoch(
    processed, train_params, repository
):
    """Afterwards the same weights as without it."""
    params = train_params(epochs=3, min_steps_per_epoch=12, optimizer={"name": "adamw", "lr": 1e-3})
    expected, _ = uninterrupted(params)
    process = start(params, repository, "--signal=SIGTERM", "--epoch=1", "--batch=6")
    said = process.communicate()[1]
    assert process.returncode == 143, said
    assert "Terminated. `dvc repro` goes on" in said
    assert "epoch 1/3" in said
    assert "epoch 2/3" not in said
    result = run(params, Job(KEY))
    found = load_file(result.model / "weights.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_sigterm_before_the_first_epoch_ends_with_a_word_too(processed, train_params, repository):
    process = start(train_params(), repository, "--pause")
    until(process, "pausing")
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 143, said
    assert said.splitlines()[-1].startswith("Terminated. `dvc repro` goes on")


@pytest.mark.parametrize(
    "recipe",
    [
        {"ema": {"decay": 0.9}, "optimizer": {"name": "sgd", "lr": 0.01}},
        {"schedule": {"name": "one_cycle"}, "mix": {"name": "mixup", "alpha": 1.0}, "accumulate": 2},
        {"schedule": {"name": "plateau", "patience": 0, "factor": 0.5}, "gradient_clip": 0.5, "sampling": "balanced", "class_weights": "none"},
        {"strategy": {"plan": "progressive_unfreezing", "every": 1}, "augment": ["HorizontalFlip"]},
        {"resize": {"start": 0.5, "until": 0.8}, "augment": ["HorizontalFlip"]},
    ],
    ids=["ema", "one_cycle+mixup+accumulate", "plateau+clip+balanced", "progressive+cached", "resize"],
)  # fmt: skip
def test_every_part_of_the_recipe_survives_an_interruption(processed, train_params, shipped, recipe):
    backbone = {"source": "lightbox", "name": "small_cnn", "weights": str(shipped), "dropout": 0.3}
    params = train_params(epochs=5, backbone=backbone, **recipe)
    expected, history = uninterrupted(params)
    with pytest.raises(Killed):
        run(params, Job(KEY, dies_in(2)))
    result = run(params, Job(KEY))
    found = load_file(result.model / "weights.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    again = pd.read_csv(HISTORY)
    pd.testing.assert_frame_equal(history[[*CURVES, "lr", "lr_factor"]], again[[*CURVES, "lr", "lr_factor"]])


def test_a_full_disk_at_checkpoint_time_says_so_and_leaves_the_last_one_whole(processed, train_params, monkeypatch):
    params = train_params(epochs=4)
    expected, _ = uninterrupted(params)
    save, calls = torch.save, []

    def fill(checkpoint, file):
        calls.append(0)
        if len(calls) > 5:  # two an epoch: in the third epoch, half-way through a file
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(checkpoint, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fill)
        with pytest.raises(UserError, match=r"\.ckpt: the disk is full .*Free some space"):
            run(params, Job(KEY))
    assert {path.name for path in checkpoints(processed)} == {"best.ckpt", "last.ckpt"}
    result = run(params, Job(KEY))
    found = load_file(result.model / "weights.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_full_disk_inside_torch_save_says_so_too(processed, train_params, monkeypatch):
    """/dev/full refuses every byte, and torch's writer then hides why."""
    if not Path("/dev/full").exists():
        pytest.skip("Linux alone has it")
    save = torch.save

    def fill(checkpoint, file):
        with open("/dev/full", "wb", buffering=0) as full:
            save(checkpoint, full)

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(UserError, match=r"\.ckpt: the disk is full .*Free some space"):
        run(train_params(), Job(KEY))


@pytest.mark.parametrize("damage", [lambda data: data[:1000], lambda data: b"something else" * 100])
def test_a_damaged_checkpoint_is_named_with_the_remedy(processed, train_params, damage):
    with pytest.raises(Killed):
        run(train_params(), Job(KEY, dies_in(1)))
    for path in checkpoints(processed):
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"last\.ckpt: not a readable checkpoint.*Delete the folder"):
        run(train_params(), Job(KEY))


def test_a_loss_that_is_not_a_number_stops_and_names_the_batchs_files(processed, train_params):
    with pytest.raises(UserError, match=r"the loss is nan on the batch of images/\w+/p\d+_\d.png, .* and \d+ more.*lr"):
        run(train_params(epochs=3, optimizer={"lr": 1e30}), Job(KEY))


class Small:
    """Memory for so many images at a time in training, and twice as many without gradients."""

    def __init__(self, images):
        self.images = images

    def __call__(self, module, inputs):
        if len(inputs[0]) > self.images * (1 if torch.is_grad_enabled() else 2):
            raise torch.OutOfMemoryError("Tried to allocate 1.00 GiB.")


@pytest.fixture
def memory_for(monkeypatch):
    """Every network made from now on runs out of memory above so many images."""
    from stages.train import stage

    create = stage.create

    def limit(images):
        def limited(*arguments):
            model = create(*arguments)
            model.backbone.register_forward_pre_hook(Small(images))
            return model

        monkeypatch.setattr(stage, "create", limited)

    return limit


def test_out_of_memory_says_what_to_change(processed, train_params, memory_for):
    memory_for(5)
    with pytest.raises(
        UserError, match=r"13 images at a time do not fit.*accumulate: 2 .*batch_size.*auto_batch: true"
    ):
        run(train_params(batch_size=16), Job(KEY))


def test_auto_batch_goes_on_in_parts_that_fit_and_the_steps_stay_the_same(processed, train_params, memory_for, capsys):
    expected = run(train_params(epochs=1, accumulate=4), Job(KEY))
    weights = load_file(expected.model / "weights.safetensors")
    expected.discard()
    memory_for(5)
    result = run(train_params(epochs=1, auto_batch=True), Job(KEY))
    found = load_file(result.model / "weights.safetensors")
    assert re.findall(r"trying (\d+) parts", capsys.readouterr().err) == ["2", "4"]
    assert all(torch.allclose(weights[name], found[name], atol=1e-6) for name in weights if "num_batches" not in name)


def test_memory_for_not_even_two_images_is_said(processed, train_params, memory_for):
    memory_for(1)
    with pytest.raises(UserError, match="fewer cannot be trained"):
        run(train_params(auto_batch=True), Job(KEY))


def test_a_project_that_was_moved_still_knows_its_best_epoch(workspace, make_processed, train_params, monkeypatch):
    """The first epoch is the best and stays it, though the files lie elsewhere now."""
    here, there = workspace / "here", workspace / "there"
    make_processed(here / "data" / "processed")
    monkeypatch.chdir(here)
    params = train_params(epochs=5, early_stopping={"monitor": "val_auroc", "patience": None, "min_delta": 0.0})
    expected, history = uninterrupted(params)
    with pytest.raises(Killed):
        run(params, Job(KEY, dies_in(2)))
    here.rename(there)
    monkeypatch.chdir(there)
    result = run(params, Job(KEY))
    assert result.metrics["cost/best_epoch"] == history["val_auroc"].idxmax() < 2
    found = load_file(result.model / "weights.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_training_resumed_on_another_machine_keeps_the_choices_of_the_first(processed, train_params, monkeypatch):
    """The first has no bfloat16."""
    from stages.train.machine import machine

    params = train_params(precision="auto")
    for native, report in ((False, dies_in(0)), (True, print)):
        monkeypatch.setattr(machine, "has_bfloat16", lambda device, native=native: native)
        with nullcontext() if native else pytest.raises(Killed):
            run(params, Job(KEY, report))
    summary = json.loads(Path("reports/train/small_cnn-from_scratch-full/summary.json").read_text())
    assert summary["precision"] == "32-true"


def test_a_network_that_answers_nonsense_in_validation_stops_with_the_files(processed, train_params, monkeypatch):
    from stages.train.loop.module import Learner

    forward = Learner.forward
    monkeypatch.setattr(Learner, "forward", lambda self, *x: forward(self, *x) * (1 if self.training else torch.nan))
    with pytest.raises(UserError, match=r"the loss is nan on the batch of images/"):
        run(train_params(), Job(KEY))


def test_more_processes_than_validation_images_say_so(processed, train_params):
    from stages.shared.arrays.arrays import load_arrays
    from stages.train.batches import loaders
    from stages.train.machine.machine import Machine
    from stages.train.sample import Rows

    arrays = load_arrays()
    rows = Rows(arrays.rows("train"), arrays.rows("val")[:3])
    with pytest.raises(UserError, match=r"4 processes cannot share 3 validation images"):
        loaders(None, rows, Machine(world=4), 0, batch_size=64)


def test_devices_by_their_numbers_are_gpus(processed, train_params):
    trainer = {"accelerator": "cpu", "devices": [0, 1], "strategy": "ddp"}
    with pytest.raises(UserError, match=r"devices: \[0, 1\] names GPUs.*Give a number of processes: devices: 2"):
        run(train_params(trainer=trainer), Job(KEY))


def test_a_step_too_small_for_its_parts_says_so(processed, train_params):
    with pytest.raises(UserError, match=r"a step of \d images.*cannot be cut into.*= 8 parts"):
        run(train_params(batch_size=16, accumulate=8, sample={"per_class": 4}), Job(KEY))


def test_a_gpu_that_is_not_there_is_said(processed, train_params):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(UserError, match=r"train\.trainer\.accelerator: gpu: there is none on this machine"):
        run(train_params(trainer={"accelerator": "gpu"}), Job(KEY))


def test_a_process_that_lightning_counts_otherwise_is_stopped(processed, train_params, monkeypatch):
    """It would have trained on another's share of the images."""
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(UserError, match=r"number 0 of 1 to Lightning, and number 1 by its environment .*torchrun"):
        run(train_params(), Job(KEY))
