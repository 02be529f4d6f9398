"""The training loop on Lightning: its trainer, its checkpoints, and how it ends when it does not end well."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ...shared.core.errors import UserError
from ...shared.core.files import atomic
from ...shared.core.process import Terminated
from ..machine.machine import Machine
from ..params.recipe import EarlyStopping as EarlyStoppingRule
from ..params.recipe import Ema
from ..recipe.ema import MovingAverage
from .history import History
from .module import Learner


class AtomicCheckpoints(TorchCheckpointIO):
    """A checkpoint is there whole or not at all; a full disk leaves the one before it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        with ctrl_c_waits(), atomic(path) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return read_checkpoint(Path(path))


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Until the end of the block: torch.save, interrupted, ends in an error of its own that hides the interruption."""
    handler, came = signal.getsignal(signal.SIGINT), []
    signal.signal(signal.SIGINT, lambda *told: came.append(told))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if came and callable(handler):
        handler(*came[-1])


class Keep(ModelCheckpoint):
    """Knows its files again when the project has been moved, or is seen under another path."""

    def __init__(self, folder: Path, name: str, **options: Any) -> None:
        super().__init__(folder, filename=name, save_on_train_epoch_end=True, enable_version_counter=False, **options)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        state = {**state_dict, "dirpath": self.dirpath}
        state |= {name: here(state[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
        super().load_state_dict(state | {"best_k_models": {here(k): v for k, v in state["best_k_models"].items()}})


def train_loop(
    learner: Learner,
    history: History,
    data: tuple[Any, Any],
    machine: Machine,
    folder: Path,
    rule: EarlyStoppingRule,
    ema: Ema | None,
    **options: Any,
) -> None:
    """Every epoch ends in last.ckpt, the best one in best.ckpt too; goes on from last.ckpt where there is one.

    Args:
        data: loaders of training and validation.
        options: Lightning's, for its Trainer.

    Raises:
        KeyboardInterrupt, Terminated: asked to stop.
        NotFinite, torch.OutOfMemoryError: for the caller to explain.
    """
    # what EMA keeps comes into a checkpoint with the callbacks' state only
    best = Keep(folder, "best", monitor=rule.monitor, mode=rule.mode, save_weights_only=ema is None)
    every = Keep(folder, "last")  # behind `best`, so that it holds best's state as well
    averaging = [] if ema is None else [MovingAverage(ema.decay)]
    trainer = make_trainer(machine, [*averaging, history, *stopping(rule), best, every], folder, options)
    last = folder / "last.ckpt"
    if last.exists() and machine.is_main:
        print(f"{history.name}: resuming from {last}", file=sys.stderr)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, until_lightning)
    try:
        train, validation = data
        trainer.fit(learner, train, validation, ckpt_path=last if last.exists() else None, weights_only=True)
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


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Raises UserError when it is damaged (the machine went down while it was written, say)."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes can fail anywhere in torch's unpickler
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path}: not a readable checkpoint ({told}). Delete the folder {path.parent} and run `dvc repro` again: "
            "this training then starts from its beginning."
        ) from None
    return state


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
