"""reports/train/<key>: what a training was like, and what it cost."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from typing import Any

import torch

from ..shared.arrays.arrays import Arrays
from ..shared.core import paths
from ..shared.core.files import write_json
from ..shared.core.job import Job, Result
from ..shared.model.model import Classifier
from .loop.checkpoints import CHOICES
from .loop.history import History
from .machine.machine import Machine
from .params import Params
from .plan.apply import ever_learning, groups_of
from .plan.strategies import Plan
from .plan.table import plan_table
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


def write_report(trained: Trained, params: Params, arrays: Arrays, rows: Rows, start: Start | None, job: Job) -> Result:
    """reports/train/<key>: history.csv, plan.csv and summary.json, which holds what was measured and nothing derived:
    whoever shows a number makes it, so that showing another one trains no model again."""
    folder = paths.report_dir("train", job.key)
    folder.mkdir(parents=True, exist_ok=True)
    table = trained.history.table()
    table.to_csv(folder / "history.csv", index=False)
    rates = plan_table(trained.plan[: len(table)], params.optimizer.lr, table["lr_factor"].tolist())
    rates.to_csv(folder / "plan.csv", index=False)
    measured = measurements(trained, arrays, rows)
    write_json(folder / "summary.json", {**measured, **choices(trained.machine, params, start)})
    return Result(metrics=measured | derived(trained, measured), model=paths.model_dir(job.member))


def measurements(trained: Trained, arrays: Arrays, rows: Rows) -> dict[str, float]:
    """`images_shown`: in training, over all epochs. `best_epoch` counts from 0."""
    return {
        "train_images": len(rows.train),
        "train_patients": int(arrays.index.iloc[rows.train]["patient"].nunique()),
        "images_shown": trained.history.images,
        "epochs": len(trained.history.rows),
        "best_epoch": trained.best_epoch,
        "seconds": round(trained.history.seconds, 2),
        "preparation_seconds": round(trained.history.preparation, 2),
        "parameters": sum(p.numel() for p in trained.model.parameters()),
        "trainable_parameters": trainable(trained),
        "peak_memory_mb": round(peak_memory_mb(trained.machine), 1),
    }


def choices(machine: Machine, params: Params, start: Start | None) -> dict[str, Any]:
    """What was chosen for this machine, the weights it started from, and which part of the patients trained."""
    chosen = {name: getattr(machine, name) for name in CHOICES}
    return chosen | {"start": start.name if start else None, "sample": params.sample.model_dump(mode="json")}


def derived(trained: Trained, measured: dict[str, float]) -> dict[str, float]:
    """For the tracking store, where runs are sorted by such numbers."""
    best = trained.history.rows[trained.best_epoch]
    seconds = max(measured["seconds"] - measured["preparation_seconds"], 1e-9)
    return {
        "images_per_second": round(measured["images_shown"] / seconds, 1),
        **{f"best_{name}": value for name, value in best.items() if name.startswith("val_")},
    }


def trainable(trained: Trained) -> int:
    """Parameters that learn in any epoch."""
    groups = groups_of(trained.model)
    return sum(p.numel() for group in ever_learning(trained.plan) for p in groups[group])


def peak_memory_mb(machine: Machine) -> float:
    """Of the GPU, or of this process, pages of mapped files that were looked at included."""
    if machine.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
