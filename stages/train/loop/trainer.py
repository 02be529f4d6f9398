"""The training loop on Lightning: its trainer, and how it ends when it does not end well."""

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
from lightning.pytorch.callbacks import Callback, EarlyStopping, TQDMProgressBar
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader

from ...shared.core.process import Terminated
from ..data.batches import Batch
from ..machine.machine import Machine
from ..params.recipe import EarlyStopping as EarlyStoppingRule
from ..params.recipe import Ema
from ..recipe.ema import MovingAverage
from .checkpoints import AtomicCheckpoints, Checkpoints
from .history import History
from .module import Learner


def train_loop(
    learner: Learner,
    history: History,
    data: tuple[DataLoader[Batch], DataLoader[Batch]],
    machine: Machine,
    kept: Checkpoints,
    rule: EarlyStoppingRule,
    ema: Ema | None,
    **options: Any,
) -> None:
    """From the last checkpoint where there is one, to the last epoch.

    Args:
        data: loaders of training and validation.
        options: Lightning's, for its Trainer.

    Raises:
        KeyboardInterrupt, Terminated: asked to stop.
        NotFinite, torch.OutOfMemoryError: for the caller to explain.
    """
    # what EMA keeps comes into a checkpoint with the callbacks' state only
    saving = kept.callbacks(rule.monitor, rule.mode, weights_only=ema is None)
    averaging = [] if ema is None else [MovingAverage(ema.decay)]
    trainer = make_trainer(machine, [*averaging, history, *stopping(rule), *saving], kept.folder, options)
    last = kept.last if kept.last.exists() else None
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
    except SystemExit:  # Lightning's way of ending on Ctrl-C
        raise KeyboardInterrupt from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def until_lightning(number: int, frame: FrameType | None) -> None:
    """Lightning handles SIGTERM its own way, behind a whole batch; it calls the handler it found as well."""
    if signal.getsignal(number) is until_lightning:
        raise Terminated


def stopping(rule: EarlyStoppingRule) -> list[Callback]:
    if rule.patience is None:
        return []
    return [
        Stopping(
            rule.monitor,
            min_delta=rule.min_delta,
            patience=rule.patience,
            mode=rule.mode,
            check_on_train_epoch_end=True,
            check_finite=False,  # Learner names the files
        )
    ]


class Stopping(EarlyStopping):
    """A training that was interrupted just after it had stopped goes no further when it is taken up again."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


def make_trainer(machine: Machine, callbacks: list[Callback], folder: Path, options: Mapping[str, Any]) -> pl.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # on purpose: see machine.workers_for
    warnings.filterwarnings("ignore", message=".*module.s. in eval mode.*")  # frozen blocks are: see Learner.train
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")  # a resumed training
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # Lightning's own business
    shown = sys.stderr.isatty() and machine.is_main
    return pl.Trainer(
        **options,
        precision=machine.precision,
        accumulate_grad_batches=machine.accumulate,
        callbacks=[*callbacks, *([TQDMProgressBar()] if shown else [])],
        # SLURM may requeue the job; Lightning's own checkpoint for that would be one more, of half an epoch
        plugins=[AtomicCheckpoints(), *([SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else [])],
        logger=False,
        enable_progress_bar=shown,
        enable_model_summary=False,
        deterministic="warn",
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
