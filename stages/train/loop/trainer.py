"""Lightning's trainer, as this project uses it."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader

from ...shared.core.errors import UserError
from ...shared.core.process import RANKS, Terminated
from ...shared.core.progress import progress
from ..batches import Batch
from ..machine.machine import Machine
from ..params.recipe import EarlyStopping as Rule
from ..recipe.ema import MovingAverage
from .checkpoints import AtomicCheckpoints, Checkpoints, SingleCheckpoint
from .history import History
from .module import Learner


def train_loop(
    learner: Learner,
    history: History,
    data: tuple[DataLoader[Batch], DataLoader[Batch]],
    machine: Machine,
    checkpoints: Checkpoints,
    rule: Rule,
    ema_decay: float | None,
    **options: Any,
) -> None:
    """From the last checkpoint where there is one, to the last epoch.

    Args:
        data: loaders of training and validation.
        ema_decay: of the moving average of the weights; None: no average.
        options: Lightning's, for its Trainer.

    Raises:
        UserError: Lightning numbers the processes otherwise than `machine` does, by which they got their data.
        KeyboardInterrupt, Terminated: by Ctrl-C and SIGTERM.
        NotFinite, torch.OutOfMemoryError: for the caller to explain.
    """
    # weights alone are enough of the best epoch, but the moving average is saved with the state of the callbacks
    best = SingleCheckpoint(checkpoints.best, monitor=rule.monitor, mode=rule.mode, save_weights_only=ema_decay is None)
    averaging = [] if ema_decay is None else [MovingAverage(ema_decay)]
    stopping = [] if rule.patience is None else [Stopping(rule, rule.patience)]
    # `last` comes behind `best`, so that it contains that callback's state as well
    callbacks = [*averaging, history, *stopping, best, SingleCheckpoint(checkpoints.last)]
    trainer = make_trainer(machine, callbacks, checkpoints.folder, options)
    if trainer.global_rank != machine.rank:
        raise UserError(
            f"params.yaml: train.trainer: this process is number {trainer.global_rank} of {trainer.world_size} to "
            f"Lightning, and number {machine.rank} by its environment ({', '.join(RANKS)}). Start as many processes as "
            "devices × num_nodes say; several machines with torchrun or SLURM."
        )
    last = checkpoints.last if checkpoints.last.exists() else None
    if last and machine.is_main:
        print(f"{history.name}: resuming from {last}", file=sys.stderr)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, until_lightning)
    try:
        train, validation = data
        trainer.fit(learner, train, validation, ckpt_path=last, weights_only=True)
        if trainer.received_sigterm:  # behind the last batch: Lightning goes on to the end
            raise Terminated
    except SIGTERMException:
        raise Terminated from None
    except SystemExit:  # how Lightning ends on Ctrl-C
        raise KeyboardInterrupt from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def until_lightning(number: int, frame: FrameType | None) -> None:
    """Lightning handles SIGTERM after a whole batch; it calls the handler that was set before as well."""
    if signal.getsignal(number) is until_lightning:
        raise Terminated


class Stopping(EarlyStopping):
    """A training that was interrupted just after it had stopped early trains no further when it is resumed."""

    def __init__(self, rule: Rule, patience: int) -> None:
        # not check_finite: Learner names the files of a loss that is not finite
        options = {"check_on_train_epoch_end": True, "check_finite": False}
        super().__init__(rule.monitor, rule.min_delta, patience, mode=rule.mode, **options)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


class Bar(Callback):
    """One bar for the whole training, so that the time left is that of the training: the longest it can take, where it
    may stop early. Lightning's own is of one epoch. The scores stand in the lines above it."""

    def on_train_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        batches, epochs = int(trainer.num_training_batches), trainer.max_epochs or 0
        done = batches * trainer.current_epoch
        self.bar = progress(desc="epoch", unit="batches", total=batches * epochs, done=done, leave=False)

    def on_train_epoch_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        self.bar.set_description(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")

    def on_train_batch_end(self, *_: Any) -> None:
        self.bar.update()

    def on_train_end(self, *_: Any) -> None:
        self.bar.close()

    def on_exception(self, *_: Any) -> None:
        if hasattr(self, "bar"):
            self.bar.close()


def make_trainer(machine: Machine, callbacks: list[Callback], folder: Path, options: Mapping[str, Any]) -> pl.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",  # intended: see machine.workers_for
        ".*module.s. in eval mode.*",  # frozen blocks are: see Learner.train
        "Checkpoint directory .* exists and is not empty",  # a resumed training
        ".*isinstance.treespec, LeafSpec.*",  # inside Lightning
    ):
        warnings.filterwarnings("ignore", message=message)
    shows_progress = sys.stderr.isatty() and machine.is_main
    return pl.Trainer(
        **options,
        precision=machine.precision,
        accumulate_grad_batches=machine.accumulate,
        callbacks=[*callbacks, *([Bar()] if shows_progress else [])],
        # without Lightning's own checkpoint for requeued jobs, which would be of half an epoch
        plugins=[AtomicCheckpoints(), *([SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else [])],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic="warn",
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
