"""How features lie on the disk. An entry is what a frozen prefix gives for one view of the images:

    <digest>/0.npy, 1.npy, …  one file per tensor, a row per image; rows never asked for take no disk
    <digest>/state.npy        uint8 per row: EMPTY, CLAIMED (it has its room on the disk) or FILLED (its values too)
    <digest>/entry.json       what the numbers depend on, for people; its time is that of the last use
    <digest>/fill.lock        of the process that computes
    .lock                     locked for moments: one process at a time opens, claims room or deletes

Readers of an entry share a flock on its state.npy, and nobody deletes it then. A row becomes FILLED behind its
values, so that a crash leaves none that only looks complete. Rows are read with preadv: mapped pages would count as
memory of the process.

Shapes: B batch
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap

from ...shared.core.files import write_json

GB = 10**9
SPARE = GB // 4  # bytes of the disk left to others, checkpoints first
EMPTY, CLAIMED, FILLED = 0, 1, 2
INFO, STATE = "entry.json", "state.npy"


class NoRoom(Exception):
    """Why the features cannot be kept: the start of a sentence to print."""


@dataclass(frozen=True)
class Spec:
    """One image's part of a tensor, without the batch dimension, and how it lies in memory."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    channels_last: bool

    @classmethod
    def of(cls, batch: torch.Tensor) -> Spec:
        last = batch.dim() == 4 and not batch.is_contiguous() and batch.is_contiguous(memory_format=torch.channels_last)
        return cls(tuple(batch.shape[1:]), batch.dtype, last)

    @property
    def stored(self) -> tuple[int, ...]:
        return (*self.shape[1:], self.shape[0]) if self.channels_last else self.shape

    @property
    def numpy(self) -> np.dtype[Any]:
        """bfloat16 is kept as its bit patterns."""
        return np.dtype("<u2") if self.dtype == torch.bfloat16 else torch.empty(0, dtype=self.dtype).numpy().dtype

    @cached_property
    def size(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def to_bytes(self, batch: torch.Tensor) -> np.ndarray:
        """B×… -> uint8 B×size."""
        batch = batch.permute(0, 2, 3, 1) if self.channels_last else batch
        return batch.cpu().contiguous().reshape(len(batch), -1).view(torch.uint8).numpy()

    def from_bytes(self, data: torch.Tensor) -> torch.Tensor:
        """uint8 B×size -> B×…, without a copy."""
        batch = data.view(self.dtype).view(len(data), *self.stored)
        return batch.permute(0, 3, 1, 2) if self.channels_last else batch


class Entry:
    """Opened under the lock of the store; until `close` nobody deletes it."""

    def __init__(self, folder: Path, specs: Sequence[Spec], rows: int, about: Mapping[str, Any]) -> None:
        self.folder, self.specs = folder, specs
        try:
            self._open(rows)
        except (FileNotFoundError, EOFError, ValueError) as fault:  # any other OSError is the machine's
            if folder.exists():
                print(f"{folder}: damaged ({fault}); computing its features again.", file=sys.stderr)
                shutil.rmtree(folder)
            folder.mkdir(parents=True)
            for name, kind, shape in self._files(rows):
                open_memmap(folder / name, "w+", kind, shape)
            write_json(folder / INFO, about)
            self._open(rows)
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        os.utime(folder / INFO)

    def _files(self, rows: int) -> list[tuple[str, np.dtype[Any], tuple[int, ...]]]:
        tensors = [(f"{i}.npy", spec.numpy, (rows, *spec.stored)) for i, spec in enumerate(self.specs)]
        return [*tensors, (STATE, np.dtype(np.uint8), (rows,))]

    def _open(self, rows: int) -> None:
        """Raises FileNotFoundError, EOFError or ValueError where a file is missing, too short or of another kind."""
        maps = {name: open_memmap(self.folder / name, "r") for name, _, _ in self._files(rows)}
        for name, kind, shape in self._files(rows):
            if (maps[name].dtype, maps[name].shape) != (kind, shape):
                raise ValueError(f"{name} is {maps[name].dtype} {maps[name].shape}, not {kind} {shape}")
        del maps[STATE]
        self.state = open_memmap(self.folder / STATE, "r+")  # mapped: processes see at once what one of them wrote
        self._starts = [array.offset for array in maps.values()]
        self._data = [os.open(self.folder / name, os.O_RDWR) for name in maps]
        self._lock = os.open(self.folder / STATE, os.O_RDWR)

    def missing(self, rows: np.ndarray, state: int = FILLED) -> np.ndarray:
        """Those of the rows that have not come as far as `state`."""
        missing: np.ndarray = rows[self.state[rows] < state]
        return missing

    def claim(self, rows: np.ndarray) -> None:
        """Give the rows their room on the disk, so that whoever counts finds it taken."""
        for fd, start, spec in zip(self._data, self._starts, self.specs, strict=True):
            for row in rows.tolist():
                allocate(fd, start + row * spec.size, spec.size)
        self.state[rows] = CLAIMED

    def write(self, rows: np.ndarray, tensors: Sequence[torch.Tensor]) -> None:
        """Rows n and, per tensor, n×…; not there before `commit`."""
        for fd, start, spec, tensor in zip(self._data, self._starts, self.specs, tensors, strict=True):
            for row, data in zip(rows.tolist(), spec.to_bytes(tensor), strict=True):
                write_all(fd, memoryview(data), start + row * spec.size)

    def commit(self, rows: np.ndarray) -> None:
        for fd in self._data:
            os.fsync(fd)
        self.state[rows] = FILLED

    def read(self, tensor: int, row: int, into: memoryview) -> None:
        """A row of one tensor into uint8 `size`."""
        size = self.specs[tensor].size
        if os.preadv(self._data[tensor], [into], self._starts[tensor] + row * size) != size:
            raise OSError(f"{self.folder / f'{tensor}.npy'}: row {row} is cut short")

    def close(self) -> None:
        for fd in (*self._data, self._lock):
            os.close(fd)


def make_room(root: Path, own: set[Path], need: int, max_gb: float) -> None:
    """Room for `need` more bytes in the `own` entries: deletes others that nobody reads, the least recently used first.

    Raises:
        NoRoom: there is less than `max_gb` or the disk allow.
    """
    sizes = {folder: used(folder) for folder in root.iterdir() if folder.is_dir()}
    present = sum(sizes[folder] for folder in own)
    if present + need > max_gb * GB:
        raise NoRoom(f"needs {shown(present + need)} of cache.max_gb: {max_gb:g}")
    oldest_first = sorted(sizes.keys() - own, key=last_use)
    while (reason := shortage(root, need, sum(sizes.values()), max_gb)) and oldest_first:
        folder = oldest_first.pop(0)
        if remove(folder):
            print(f"cache: deleted {shown(sizes.pop(folder))} of features not used lately.", file=sys.stderr)
    if reason:
        raise NoRoom(reason)


def shortage(root: Path, need: int, present: int, max_gb: float) -> str | None:
    """Why `need` more bytes do not fit beside those `present`; None: they do."""
    if present + need > max_gb * GB:
        return f"needs {shown(need)} more of cache.max_gb: {max_gb:g}, and running trainings hold {shown(present)}"
    free = max(0, shutil.disk_usage(root).free - SPARE)
    return f"needs {shown(need)}, and the disk has {shown(free)} to spare ({root})" if need > free else None


def used(folder: Path) -> int:
    """Bytes on the disk."""
    return sum(path.stat().st_blocks for path in folder.iterdir()) * 512


def last_use(folder: Path) -> float:
    info = folder / INFO
    return info.stat().st_mtime if info.exists() else 0.0


def remove(folder: Path) -> bool:
    """Delete an entry unless somebody reads it; whether it did. Under the lock of the store."""
    state = folder / STATE
    if state.exists():
        with state.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    shutil.rmtree(folder, ignore_errors=not folder.exists())
    return True


def allocate(fd: int, start: int, size: int) -> None:
    """Blocks of the disk for this part of a file; macOS has no call for it, and zeros do the same."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, start, size)
    else:
        write_all(fd, memoryview(bytes(size)), start)


def write_all(fd: int, data: memoryview, start: int) -> None:
    """A disk that fills up takes a part first; only the next write says why."""
    while data:
        done = os.pwrite(fd, data, start)
        data, start = data[done:], start + done


def shown(size: int) -> str:
    return f"{size / GB:.2g} GB" if size >= GB else f"{size / 10**6:,.0f} MB"
