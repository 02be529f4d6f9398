"""One model trained by two processes, on a CPU with gloo."""

import shutil
import socket
import sys

import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file

pytestmark = pytest.mark.e2e

MEMBER = ("--backbone", "squeezenet", "--strategy", "from_scratch", "--sample", "full")
KEY = "squeezenet-from_scratch-full"
CURVES = ["train_loss", "val_loss", "val_accuracy", "val_auroc", "lr"]


@pytest.fixture
def place(make_clone, make_processed):
    """Arrays, and params of a network without BatchNorm (whose statistics would be those of each half)."""
    clone = make_clone(
        matrix={"backbone": ["squeezenet"], "strategy": ["from_scratch"], "sample": ["full"]},
        backbones={"squeezenet": {"source": "torchvision", "name": "squeezenet1_1", "weights": "none", "dropout": 0.0}},
        train={"epochs": 3, "batch_size": 15, "augment": ["HorizontalFlip"], "optimizer": {"lr": 0.0003}},
    )
    make_processed(clone.folder / "data" / "processed")
    clone.environment["OMP_NUM_THREADS"] = "1"
    return clone


def trained(place):
    curves = pd.read_csv(place.folder / "reports/train" / KEY / "history.csv")[CURVES]
    return curves, load_file(place.folder / "models" / KEY / "weights.safetensors")


def runs(place):
    client = MlflowClient(f"sqlite:///{place.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("lightbox")
    found = client.search_runs([experiment.experiment_id], "tags.stage = 'train'")
    return [(run.info.status, run.data.metrics["cost/epochs"]) for run in found]


def two(place):
    place.edit({"train": {"trainer": {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}}})


def test_two_processes_give_what_one_gives_and_leave_one_run_and_one_set_of_outputs(place):
    place.command(sys.executable, "-m", "stages", "train", *MEMBER)
    expected, weights = trained(place)
    shutil.rmtree(place.folder / "reports")
    shutil.rmtree(place.folder / "models")
    (place.folder / "mlflow.db").unlink()

    two(place)
    done = place.command(sys.executable, "-m", "stages", "train", *MEMBER)
    assert done.stderr.count("epoch 1/3") == 1
    found, same = trained(place)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4)
    assert all(torch.allclose(weights[name], same[name], atol=1e-4) for name in weights)
    assert runs(place) == [("FINISHED", 3.0)]
    assert not list((place.folder / ".lightbox" / "checkpoints").glob("*/"))


def test_torchrun_launches_it_too(place):
    two(place)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port))
    place.command(*launcher, "-m", "stages", "train", *MEMBER)
    found, _ = trained(place)
    assert len(found) == 3
    assert runs(place) == [("FINISHED", 3.0)]
