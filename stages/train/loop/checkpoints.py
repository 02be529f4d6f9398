"""Checkpoints of a training. DVC deletes a stage's outs before it runs, so they lie outside them, in the main
repository, in a folder whose name changes with anything that changes the numbers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from ...shared.core.code import STAGES, digest_of
from ...shared.core.errors import UserError
from ...shared.core.files import atomic, read_json, write_json
from ...shared.core.paths import Key
from ..machine.machine import Machine
from ..start.start import Start

CODE = ("train", "shared")
NO_NUMBERS = (  # the parts of this code that change nothing a training computes
    "train/report.py",
    "train/library.py",
    *(f"shared/{package}" for package in ("core", "figures", "images", "measures", "tracking")),
)
CHOICES = ("precision", "channels_last", "accumulate")  # of the machine; a resumed training keeps them


def name_of(key: Key, settings: Mapping[str, Any], data: str, start: Start | None, root: Path = STAGES) -> str:
    """The key and a digest of all that the numbers depend on: settings, data, the weights it starts from, and code."""
    without_effect = {"workers": None, "auto_batch": None, "cache": {**settings["cache"], "max_gb": None}}
    weights = (start.name, start.sha256) if start else None
    facts = [str(key), {**settings, **without_effect}, data, weights, digest_of(*CODE, without=NO_NUMBERS, root=root)]
    return f"{key}-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Checkpoints:
    """The folder of one training: its last and its best epoch, its choices, and whether it ended."""

    folder: Path

    @property
    def last(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def best(self) -> Path:
        return self.folder / "best.ckpt"

    @property
    def ended(self) -> Path:
        """An empty file: the training came to its end."""
        return self.folder / "ended"

    def keep_choices(self, machine: Machine) -> Machine:
        """`machine` with the choices that this training began with, wherever that was; of parts, the larger number."""
        path = self.folder / "choices.json"
        choices = read_json(path) if path.exists() else {}
        accumulate = max(machine.accumulate, choices.get("accumulate", 1))
        machine = replace(machine, **choices | {"accumulate": accumulate})
        if machine.is_main:
            write_json(path, {name: getattr(machine, name) for name in CHOICES})
        return machine


@contextmanager
def locked_checkpoints(folder: Path, is_main: bool = True) -> Iterator[Checkpoints]:
    """This training's checkpoints, locked: two queued experiments may need the same model at once, and then the second
    waits. They stay until `discard`."""
    folder.mkdir(parents=True, exist_ok=True)
    if not is_main:  # the first process of this training holds the lock for all
        yield Checkpoints(folder)
        return
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        locked = lock.acquire(timeout=0)
    except Timeout:
        print(f"{folder.name}: another process is training the same model; waiting for it.", file=sys.stderr)
        locked = lock.acquire()
    with locked:
        folder.mkdir(exist_ok=True)
        yield Checkpoints(folder)


def discard(folder: Path) -> None:
    """Delete a training's checkpoints, once no other process needs them."""
    with locked_checkpoints(folder):
        shutil.rmtree(folder)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Raises UserError when it is damaged, as by a power cut."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes can fail anywhere in torch's unpickler
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path}: not a readable checkpoint ({reason}). Delete the folder {path.parent} and run `dvc repro` again: "
            "this training then starts from its beginning."
        ) from None
    return state


class AtomicCheckpoints(TorchCheckpointIO):
    """A checkpoint is there whole or not at all; when the disk is full, the one before it stays."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        with ctrl_c_waits(), atomic(path) as partial, partial.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch's writer complains of what a full disk has left undone
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return read_checkpoint(Path(path))


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Until the end of the block: torch.save, interrupted, ends in an error of its own that hides the interruption."""
    handler, signals = signal.getsignal(signal.SIGINT), []
    signal.signal(signal.SIGINT, lambda *arguments: signals.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if signals and callable(handler):
        handler(*signals[-1])


class SingleCheckpoint(ModelCheckpoint):
    """Keeps one file, and finds it again when the project has been moved."""

    def __init__(self, path: Path, **options: Any) -> None:
        options |= {"save_on_train_epoch_end": True, "enable_version_counter": False}
        super().__init__(path.parent, filename=path.stem, **options)
        self.path = str(path)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        state = state_dict | {name: state_dict[name] and self.path for name in paths} | {"dirpath": self.dirpath}
        scores = list(state["best_k_models"].values())  # one, or none without a monitor
        super().load_state_dict(state | {"best_k_models": dict(zip([self.path], scores, strict=False))})
