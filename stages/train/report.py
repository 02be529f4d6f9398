"""reports/train/<key>: what a training measured, and what it cost."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch

from ..shared.core import paths
from ..shared.core.files import write_json
from ..shared.core.job import Job, Result
from ..shared.model.model import Classifier
from .loop.checkpoints import CHOICES
from .loop.history import History
from .machine.machine import Machine
from .params.sample import Sample
from .plan.apply import ever_learning, groups_of
from .plan.strategies import Plan
from .sample import Rows
from .start.start import Start


@dataclass(frozen=True)
class Trained:
    """A model with the weights of its best epoch, and how it came to them."""

    model: Classifier
    plan: Plan
    machine: Machine
    history: History
    best_epoch: int


def write_report(
    trained: Trained, index: pd.DataFrame, rows: Rows, start: Start | None, sample: Sample, base_lr: float, job: Job
) -> Result:
    """history.csv, plan.csv and summary.json, which has measurements and nothing derived from them: whoever shows a
    number computes it, so that to show another one trains no model again.

    index: of the data set. base_lr: of the optimiser.
    """
    folder = paths.report_dir("train", job.key)
    folder.mkdir(parents=True, exist_ok=True)
    model, plan, machine, history = trained.model, trained.plan, trained.machine, trained.history
    table = history.table()
    table.to_csv(folder / "history.csv", index=False)
    plan_table(plan[: len(table)], base_lr, table["lr_factor"].tolist()).to_csv(folder / "plan.csv", index=False)
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
        "trainable_parameters": sum(p.numel() for group in ever_learning(plan) for p in groups[group]),
        "peak_memory_mb": round(peak_memory_mb(machine), 1),
    }
    choices = {name: getattr(machine, name) for name in CHOICES}
    origin = {"start": start.name if start else None, "sample": sample.model_dump(mode="json")}
    write_json(folder / "summary.json", measured | choices | origin)
    speed = history.images / max(history.seconds - history.preparation, 1e-9)
    best = {f"best_{n}": value for n, value in history.rows[trained.best_epoch].items() if n.startswith("val_")}
    metrics = {**measured, "images_per_second": round(speed, 1), **best}
    return Result(metrics=metrics, model=paths.model_dir(job.member))


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
    """Of the GPU, or of this process, including the pages of mapped files that it read."""
    if machine.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
