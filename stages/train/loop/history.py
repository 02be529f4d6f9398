"""What happened epoch by epoch: kept inside the checkpoint, so that a resumed training has all of it."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning.pytorch as pl
import pandas as pd
from tqdm import tqdm

from ...shared.core.job import Report
from .module import Learner


class History(pl.Callback):
    """One row per finished epoch; reports it, and says it in a line where there is no terminal for a progress bar."""

    def __init__(self, name: str, report: Report) -> None:
        self.name, self.report = name, report
        self.rows: list[dict[str, float]] = []
        self.images = 0  # shown in training, all epochs
        self.preparation = 0.0  # seconds before the first step
        self._earlier = 0.0  # seconds, from before an interruption
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._earlier + time.monotonic() - self._start

    def on_train_epoch_end(self, trainer: pl.Trainer, learner: pl.LightningModule) -> None:
        assert isinstance(learner, Learner)
        names = ("val_loss", "val_accuracy", "val_auroc")
        loss, images = learner.epoch_loss()
        row = {
            "epoch": float(trainer.current_epoch),
            "train_loss": loss,
            **{name: float(trainer.callback_metrics[name]) for name in names},
            "lr": float(trainer.optimizers[0].param_groups[-1]["lr"]),
            "lr_factor": learner.mean_factor(),
            "elapsed": round(self.seconds, 3),
        }
        self.rows.append(row)
        self.images += images
        self._tell(row)
        if trainer.is_global_zero:
            said = "  ".join(f"{k} {row[k]:.4f}" for k in ("train_loss", *names))
            count = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            tqdm.write(f"{self.name}  {count}  {said}", file=sys.stderr)  # above the bar, where there is one

    def _tell(self, row: dict[str, float]) -> None:
        self.report({name: value for name, value in row.items() if name != "epoch"}, int(row["epoch"]))

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows).astype({"epoch": int})

    def state_dict(self) -> dict[str, Any]:
        state = {"rows": self.rows, "images": self.images}
        return state | {"seconds": self.seconds, "preparation": self.preparation}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self._earlier = list(state["rows"]), float(state["seconds"])
        self._start = time.monotonic() - self.preparation  # this time's counts as well
        self.images, self.preparation = int(state["images"]), self.preparation + float(state["preparation"])
        for row in self.rows:  # the curve of this run begins where the training began
            self._tell(row)
