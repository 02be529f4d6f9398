"""Fitting a memory: one pass over the images, in place of epochs. A fit that was interrupted begins again; what the
feature store has computed by then stays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torchmetrics import MeanMetric, MetricCollection

from ..shared.core.progress import progress
from ..shared.model.memories.memory import Memory
from ..shared.model.model import Model
from ..shared.model.predict import batches
from ..shared.tasks.task import Loss
from .features.source import Feed
from .loop.checkpoints import AtomicCheckpoints, Checkpoints
from .loop.history import History
from .machine.machine import Machine
from .sample import Rows

BATCH = 32  # images


@torch.no_grad()
def fit(
    model: Model,
    feed: Feed,
    rows: Rows,
    size: tuple[int, int],
    seed: int,
    loss: Loss,
    watched: MetricCollection,
    machine: Machine,
    history: History,
    saved: Checkpoints,
) -> None:
    """Fit the head, judge it on the validation images, and leave it as the best and last epoch's checkpoint. `size`: of
    the images."""
    assert isinstance(model.head, Memory)
    model.to(machine.device).eval()
    model.head.begin(len(rows.train), seed)
    for maps, _ in encoded(model, feed, rows.train, machine, "fit"):
        model.head.add(maps)
    model.head.finish()
    val_loss = MeanMetric()
    for maps, targets in encoded(model, feed, rows.validation, machine, "validate"):
        outputs = model.decode(maps, size).cpu().double()
        val_loss.update(loss(outputs, targets))
        watched.update(outputs, targets)
    values = {name: float(value) for name, value in watched.compute().items()}
    scores = {"train_loss": float("nan"), "val_loss": float(val_loss.compute()), **values}
    history.add(scores, {"lr": 0.0, "lr_factor": 1.0}, len(rows.train))
    history.print("fitted", scores)
    head = {f"model.head.{name}": tensor.cpu() for name, tensor in model.head.state_dict().items()}
    checkpoints = AtomicCheckpoints()
    checkpoints.save_checkpoint({"callbacks": {history.state_key: history.state_dict()}}, saved.last)
    checkpoints.save_checkpoint({"state_dict": head, "epoch": 0}, saved.best)


def encoded(
    model: Model, feed: Feed, rows: np.ndarray, machine: Machine, title: str
) -> Iterator[tuple[tuple[torch.Tensor, ...], torch.Tensor]]:
    """(what the head reads, targets) of each batch."""
    for chunk in progress(batches(rows, BATCH), desc=title, unit="batch", leave=False):
        inputs, targets = feed.source.read([(int(row), None) for row in chunk])
        inputs = tuple(tensor.to(machine.device) for tensor in inputs)
        if feed.forward is None:
            with machine.autocast():
                inputs = model.encode(model.normalise(inputs[0]))
        yield inputs, targets
