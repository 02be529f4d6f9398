"""reports/train/<key>: what a training was like, and what it cost."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..shared.arrays.arrays import Arrays
from ..shared.core import paths
from ..shared.core.files import write_json
from ..shared.core.job import Job, Result
from ..shared.model.model import Classifier
from .loop.history import History
from .machine.device import device_of
from .params import Params
from .plan.apply import ever_learning, groups_of
from .plan.strategies import Plan
from .plan.table import plan_table
from .plots import draw_history, draw_plan
from .start.sources import started_from

CHOSEN = ("precision", "channels_last", "accumulate")  # params that may be left to the machine


@dataclass(frozen=True)
class Trained:
    """`params`: as used, the machine's own choices filled in."""

    model: Classifier
    plan: Plan
    params: Params
    history: History
    best_epoch: int


def write_report(trained: Trained, params: Params, arrays: Arrays, train: np.ndarray, job: Job) -> Result:
    """reports/train/<key>: history.csv, history.png, plan.csv, plan.png, summary.json."""
    folder = paths.report_dir("train", job.key)
    folder.mkdir(parents=True, exist_ok=True)
    table = trained.history.table()
    table.to_csv(folder / "history.csv", index=False)
    curves = draw_history(table, trained.best_epoch, str(job.member), folder / "history.png")
    rates = plan_table(trained.plan[: len(table)], params.optimizer.lr, table["lr_factor"].tolist())
    rates.to_csv(folder / "plan.csv", index=False)
    plan = draw_plan(rates, trained.best_epoch, str(job.member), folder / "plan.png")
    summary = summarise(trained, arrays, train)
    write_json(folder / "summary.json", {**summary, **facts(trained.params)})
    return Result(metrics=summary, figures=(curves, plan), model=paths.model_dir(job.member))


def summarise(trained: Trained, arrays: Arrays, train: np.ndarray) -> dict[str, float]:
    rows, seconds = trained.history.rows, trained.history.seconds
    return {
        "train_images": len(train),
        "train_patients": int(arrays.index.iloc[train]["patient"].nunique()),
        "epochs": len(rows),
        "best_epoch": trained.best_epoch,
        "seconds": round(seconds, 2),
        "preparation_seconds": round(trained.history.preparation, 2),
        "images_per_second": round(trained.history.images / max(seconds - trained.history.preparation, 1e-9), 1),
        "parameters": sum(p.numel() for p in trained.model.parameters()),
        "trainable_parameters": trainable(trained),
        "peak_memory_mb": round(peak_memory_mb(trained.params), 1),
        **{f"best_{name}": rows[trained.best_epoch][name] for name in ("val_loss", "val_accuracy", "val_auroc")},
    }


def facts(params: Params) -> dict[str, Any]:
    """What was chosen for this machine, the weights it started from, and which part of the patients trained."""
    chosen = {name: getattr(params, name) for name in CHOSEN}
    return chosen | {"start": started_from(params), "sample": params.sample.model_dump(mode="json")}


def trainable(trained: Trained) -> int:
    """Parameters that learn in any epoch."""
    groups = groups_of(trained.model)
    return sum(p.numel() for group in ever_learning(trained.plan) for p in groups[group])


def peak_memory_mb(params: Params) -> float:
    """Of the GPU, or of this process, pages of mapped files that were looked at included."""
    if device_of(params).type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
