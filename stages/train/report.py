"""reports/train/<key>: what a training was like, and what it cost."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass

import numpy as np
import torch

from ..shared import paths
from ..shared.arrays import Arrays
from ..shared.files import write_json
from ..shared.job import Job, Result
from ..shared.model import Classifier
from .history import History
from .plots import draw_history


@dataclass(frozen=True)
class Trained:
    model: Classifier
    history: History
    best_epoch: int


def write_report(trained: Trained, arrays: Arrays, train: np.ndarray, job: Job) -> Result:
    """reports/train/<key>: history.csv, history.png, summary.json."""
    folder = paths.report_dir("train", job.key)
    folder.mkdir(parents=True, exist_ok=True)
    table = trained.history.table()
    table.to_csv(folder / "history.csv", index=False)
    picture = draw_history(table, trained.best_epoch, str(job.member), folder / "history.png")
    summary = summarise(trained, arrays, train)
    write_json(folder / "summary.json", summary)
    return Result(metrics=summary, figures=(picture,), model=paths.model_dir(job.member))


def summarise(trained: Trained, arrays: Arrays, train: np.ndarray) -> dict[str, float]:
    parameters = list(trained.model.parameters())
    rows = trained.history.rows
    return {
        "train_images": len(train),
        "train_patients": int(arrays.index.iloc[train]["patient"].nunique()),
        "epochs": len(rows),
        "best_epoch": trained.best_epoch,
        "seconds": round(trained.history.seconds, 2),
        "parameters": sum(p.numel() for p in parameters),
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        **{f"best_{name}": rows[trained.best_epoch][name] for name in ("val_loss", "val_accuracy", "val_auroc")},
    }


def peak_memory_mb() -> float:
    """Of the accelerator where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
