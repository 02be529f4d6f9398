"""Many cheap trainings of one study, by its real stages: what seeds.py and settling.py count in."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch
from torchmetrics import Metric, MetricCollection

sys.path.insert(0, str(Path(__file__).parents[1]))

from stages import download, evaluate, preprocess, study, train, validate
from stages.shared.core import settings
from stages.shared.core.allocator import keep_freed_memory
from stages.shared.core.job import Job
from stages.shared.core.paths import PROCESSED, Key, report_dir
from stages.shared.measures.classification import ONE_CLASS
from stages.shared.tasks import classification

Raw = dict[str, Any]  # params.yaml
OURS = Path(__file__).parents[1] / "params.yaml"
LAGGING = "lagging"  # samples whose training takes BatchNorm's running statistics as they are


def parser(description: str | None) -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--params", type=Path, default=OURS, help="of the study (default: ours)")
    result.add_argument("--folder", type=Path, help="work here, and do not repeat what is there (default: temporary)")
    result.add_argument("--backbone", default="small_cnn", help="of the study")
    result.add_argument("--size", type=int, default=64, help="pixels")
    result.add_argument("--epochs", type=int, default=8)
    result.add_argument(
        "--fraction", type=float, default=1.0, help="share of the training images, the same for all seeds"
    )
    return result


@contextmanager
def prepared(options: argparse.Namespace) -> Iterator[Raw]:
    """The study, with its images in the working directory."""
    raw = settings.read(options.params)
    raw["preprocess"]["size"] = options.size
    raw["train"]["epochs"] = options.epochs
    backbone = raw["backbones"][options.backbone]
    if (weights := options.params.resolve().parent / str(backbone["weights"])).is_file():
        backbone["weights"] = str(weights)
    keep_freed_memory()  # as `python -m stages train` does
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="trainings-") as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        try:
            if not (PROCESSED / "meta.json").is_file():
                for stage in (download, validate, preprocess):
                    stage.run(study.resolve(stage.__name__.rpartition(".")[2], raw), Job())
            yield raw
        finally:
            os.chdir(before)


def trained(raw: Raw, options: argparse.Namespace, strategy: str, seed: int, settled: bool = True) -> pd.Series:
    """One training, judged: its scores on the test images, and `one_class_epochs`, the share of its epochs after which
    it called nearly all validation images one class.

    The seeds differ in the training alone: all have the same images. settled: whether BatchNorm's statistics are
    estimated anew before an epoch is judged.
    """
    key = Key(options.backbone, strategy, f"{'seed' if settled else LAGGING}_{seed}")
    scores, history = report_dir("evaluate", key) / "metrics.json", report_dir("train", key) / "history.csv"
    own = {**raw, "samples": {key.sample: {"fraction": options.fraction, "fold": 0, "seed": 0}}}
    if not history.is_file():
        lagging = patch("stages.train.loop.module.settle", lambda *_: None)
        with counting(), nullcontext() if settled else lagging:
            train.run(study.resolve("train", {**own, "seed": raw["seed"] + seed}, key), Job(key)).discard()
    if not scores.is_file():  # with the study's seed: all have the same draws of the test patients
        evaluate.run(study.resolve("evaluate", own, key), Job(key))
    metrics, epochs = json.loads(scores.read_text()), pd.read_csv(history)
    summary = json.loads((report_dir("train", key) / "summary.json").read_text())
    return pd.Series(
        {
            "key": str(key), "backbone": key.backbone, "sample": "all", "seed": seed,
            "site": "", "train_images": summary["train_images"], "val_value": metrics["val"]["auroc"],
            **{name: metrics["test"][name]["value"] for name in ("auroc", "balanced_accuracy")},
            **{end: metrics["test"]["auroc"][end] for end in ("low", "high")},
            "one_class": metrics["one_class"] is not None,
            "one_class_epochs": (epochs["val_commonest"] >= ONE_CLASS).mean(),
        }
    )  # fmt: skip


@contextmanager
def counting() -> Iterator[None]:
    """Every epoch of a training also gives val_commonest, and history.csv has it."""
    watch = classification.watch

    def watch_more(classes: int) -> MetricCollection:
        metrics = watch(classes)
        metrics.add_metrics({"val_commonest": Commonest(classes)})
        return metrics

    with patch.object(classification, "watch", watch_more):
        yield


class Commonest(Metric):
    """Share of the images that are called what most are called."""

    full_state_update = False
    calls: torch.Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.add_state("calls", torch.zeros(classes), dist_reduce_fx="sum")

    def update(self, probabilities: torch.Tensor, _: torch.Tensor) -> None:
        self.calls += torch.bincount(probabilities.argmax(dim=1), minlength=len(self.calls))

    def compute(self) -> torch.Tensor:
        return self.calls.max() / self.calls.sum()
