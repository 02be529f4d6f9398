"""reports/train/<key>: what a training measured, and what it cost."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..shared.core import paths
from ..shared.core.environment import environment
from ..shared.core.files import atomic, write_json
from ..shared.core.job import Job, Result
from ..shared.model.model import Model
from .loop.checkpoints import CHOICES
from .loop.history import History
from .machine.machine import Machine
from .plan.apply import ever_learning, groups_of
from .plan.strategies import Plan
from .sample import Rows
from .start.start import Start

LIBRARIES = ("torch", "torchvision", "lightning", "timm", "numpy")  # that the numbers depend on


@dataclass(frozen=True)
class Trained:
    """A model with the weights of its best epoch, and how it came to them. idle: its parameters that no output depends
    on."""

    model: Model
    plan: Plan
    idle: frozenset[nn.Parameter]
    machine: Machine
    history: History
    best_epoch: int


@dataclass(frozen=True)
class Curve:
    """epochs: the scores of each, by their names in history.csv. train, validation: how many images."""

    epochs: Sequence[Mapping[str, float]]
    train: int
    validation: int


def write_report(
    trained: Trained, index: pd.DataFrame, rows: Rows, start: Start | None, settings: Mapping[str, Any], job: Job
) -> Result:
    """history.csv, plan.csv, rows.npz (positions in the index of the images that trained and validated) and
    summary.json, which has measurements and nothing derived from them: whoever shows a number computes it, so that to
    show another one trains no model again.

    index: of the data set. settings: of the training, as plain values.
    """
    folder = paths.report_dir("train", job.key)
    folder.mkdir(parents=True, exist_ok=True)
    model, plan, machine, history = trained.model, trained.plan, trained.machine, trained.history
    table = history.table()
    table.to_csv(folder / "history.csv", index=False)
    rates = plan_table(plan[: len(table)], settings["optimizer"]["lr"], table["lr_factor"].tolist())
    rates.to_csv(folder / "plan.csv", index=False)
    with atomic(folder / "rows.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, train=rows.train, validation=rows.validation)
    groups = groups_of(model)
    measured: dict[str, float] = {
        "train_images": len(rows.train),
        "train_patients": int(index.iloc[rows.train]["patient"].nunique()),
        "images_shown": history.images,  # in training, over all epochs
        "epochs": len(history.rows),
        "best_epoch": trained.best_epoch,  # from 0
        "seconds": round(history.seconds, 2),
        "preparation_seconds": round(history.preparation, 2),
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable_parameters": sum(p.numel() for g in ever_learning(plan) for p in groups[g] if p not in trained.idle),
        "peak_memory_mb": round(peak_memory_mb(machine), 1),
    }
    choices = {name: getattr(machine, name) for name in CHOICES}
    gpu = torch.cuda.get_device_name(machine.device) if machine.device.type == "cuda" else None
    origin = {
        "start": start.name if start else None,
        "sample": settings["sample"],
        "settings": settings,
        "environment": environment(LIBRARIES, gpu),
    }
    write_json(folder / "summary.json", measured | choices | origin)
    speed = history.images / max(history.seconds - history.preparation, 1e-9)
    cost = {f"cost/{name}": value for name, value in {**measured, "images_per_second": round(speed, 1)}.items()}
    best = history.rows[trained.best_epoch].items()
    validation = {name.replace("val_", "val/best_"): value for name, value in best if name.startswith("val_")}
    return Result(
        metrics=cost | validation,
        model=paths.model_dir(job.member),
        datasets={"training": index.iloc[rows.train], "validation": index.iloc[rows.validation]},
    )


def plan_table(plan: Plan, base_lr: float, factors: Sequence[float]) -> pd.DataFrame:
    """Columns epoch (from 0), block, lr (NaN: frozen). `factors`: of each epoch of the plan, the schedule's mean share
    of `base_lr`."""
    rows = [
        (number, block, float("nan") if rate is None else base_lr * factor * rate)
        for number, (epoch, factor) in enumerate(zip(plan, factors, strict=True))
        for block, rate in epoch.items()
    ]
    return pd.DataFrame(rows, columns=["epoch", "block", "lr"])


def peak_memory_mb(machine: Machine) -> float:
    """Of the GPU, or of this process, including the pages of mapped files that it read. A process that was forked (make
    run) also counts what the other stages' libraries take in the server: about a tenth more for a small network."""
    if machine.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
