"""What happened epoch by epoch: kept inside the checkpoint, so that a resumed training has all of it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import pandas as pd
from tqdm import tqdm

from ...shared.core.job import Report
from ...shared.core.progress import clock
from .module import Learner


class History(pl.Callback):
    """One row per finished epoch. Each is reported, and unless `quiet` printed as a line above the progress bar, if
    there is one."""

    def __init__(self, name: str, report: Report, quiet: bool = False) -> None:
        self.name, self.report, self.quiet = name, report, quiet
        self.rows: list[dict[str, float]] = []
        self.images = 0  # shown in training, over all epochs
        self.preparation = 0.0  # seconds before the first step
        self._earlier = 0.0  # seconds, from before an interruption
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._earlier + time.monotonic() - self._start

    def on_train_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        self._begun, self._resumed = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, learner: pl.LightningModule) -> None:
        assert isinstance(learner, Learner)
        assert trainer.train_dataloader is not None
        epoch = trainer.current_epoch
        scores = {
            "train_loss": float(learner.train_loss.compute()),
            **{name: float(trainer.callback_metrics[name]) for name in ("val_loss", *learner.watched)},
        }
        rates = {
            "lr": float(trainer.optimizers[0].param_groups[-1]["lr"]),
            "lr_factor": learner.schedule.mean(epoch, learner.monitored),
        }
        self.add(scores, rates, trainer.train_dataloader.sampler.total)
        if trainer.is_global_zero:
            left = "" if sys.stderr.isatty() else self._left(epoch, trainer.max_epochs or 0)  # a terminal has the bar
            self.print(f"epoch {epoch + 1}/{trainer.max_epochs}", scores, left)

    def add(self, scores: Mapping[str, float], rates: Mapping[str, float], images: int) -> None:
        """Another epoch, and how many images it showed. NaN: this training has no such score."""
        row = {"epoch": float(len(self.rows)), **scores, **rates, "elapsed": round(self.seconds, 3)}
        self.rows.append(row)
        self.images += images
        self._report(row)

    def print(self, title: str, scores: Mapping[str, float], left: str = "") -> None:
        if self.quiet:
            return
        values = "  ".join(f"{name} {value:.4f}" for name, value in scores.items() if not math.isnan(value))
        tqdm.write(f"{self.name}  {title}  {values}{left}", file=sys.stderr)

    def _report(self, row: Mapping[str, float]) -> None:
        values = {section(name): value for name, value in row.items() if name != "epoch" and not math.isnan(value)}
        self.report(values, int(row["epoch"]))

    def _left(self, epoch: int, epochs: int) -> str:
        """How long the other epochs will take, if they take as long as those of this process."""
        seconds, more = time.monotonic() - self._begun, epochs - epoch - 1
        return f"  (at most {clock(seconds / (epoch + 1 - self._resumed) * more)} left)" if more else ""

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
            self._report(row)


def section(name: str) -> str:
    """The name of a metric in the tracking store: train_loss -> train/loss; what is of no split is of the training."""
    split, _, rest = name.partition("_")
    return f"{split}/{rest}" if split in ("train", "val") else f"train/{name}"
