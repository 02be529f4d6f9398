"""How features lie on the disk. An entry is what a frozen prefix gives for one view of the images:

    <digest>/0.bin, 1.bin, …  one file per tensor, a row per image; rows never asked for take no disk
    <digest>/state.bin        uint8 per row: EMPTY, CLAIMED (it has its room on the disk) or FILLED (its values too)
    <digest>/fill.lock        of the process that computes
    .lock                     held for moments: one process at a time opens, claims room or deletes

A folder's time is that of its last use. Readers of an entry share a flock on its state.bin, and nobody deletes it then.
A row becomes FILLED after its values are on the disk, so that a crash leaves none that only looks complete. Rows are
read with preadv: mapped pages would count as memory of the process.

Shapes: B batch
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

GB = 10**9
SPARE = GB // 4  # bytes of the disk left to others, checkpoints first
EMPTY, CLAIMED, FILLED = 0, 1, 2
STATE = "state.bin"


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

    @cached_property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def to_bytes(self, batch: torch.Tensor) -> np.ndarray:
        """B×… -> uint8 B×size."""
        batch = batch.permute(0, 2, 3, 1) if self.channels_last else batch
        return batch.cpu().contiguous().reshape(len(batch), -1).view(torch.uint8).numpy()

    def from_bytes(self, data: torch.Tensor) -> torch.Tensor:
        """uint8 B×size -> B×…, without a copy."""
        shape = (*self.shape[1:], self.shape[0]) if self.channels_last else self.shape
        batch = data.view(self.dtype).view(len(data), *shape)
        return batch.permute(0, 3, 1, 2) if self.channels_last else batch


class Entry:
    """Opened under the lock of the store; until `close` nobody deletes it. rows: images of the data set."""

    def __init__(self, folder: Path, specs: Sequence[Spec], rows: int) -> None:
        self.folder, self.specs = folder, specs
        sizes = {f"{i}.bin": rows * spec.size for i, spec in enumerate(specs)} | {STATE: rows}
        if folder.exists() and {path.name: path.stat().st_size for path in folder.glob("*.bin")} != sizes:
            print(f"{folder}: damaged; computing its features again.", file=sys.stderr)
            shutil.rmtree(folder)
        if not folder.exists():
            folder.mkdir(parents=True)
            for name, size in sizes.items():
                (folder / name).touch()
                os.truncate(folder / name, size)
        *self._data, self._lock = [os.open(folder / name, os.O_RDWR) for name in sizes]
        self.state = np.memmap(folder / STATE, np.uint8, "r+")  # mapped: processes see at once what one of them wrote
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        os.utime(folder)

    def missing(self, rows: np.ndarray, state: int = FILLED) -> np.ndarray:
        """Those of the rows that have not come as far as `state`."""
        missing: np.ndarray = rows[self.state[rows] < state]
        return missing

    def claim(self, rows: np.ndarray) -> None:
        """Give the rows their room on the disk, so that whoever counts finds it taken."""
        for fd, spec in zip(self._data, self.specs, strict=True):
            for row in rows.tolist():
                allocate(fd, row * spec.size, spec.size)
        self.state[rows] = CLAIMED

    def write(self, rows: np.ndarray, tensors: Sequence[torch.Tensor]) -> None:
        """Rows n and, per tensor, n×…; not there before `commit`."""
        for fd, spec, tensor in zip(self._data, self.specs, tensors, strict=True):
            for row, data in zip(rows.tolist(), spec.to_bytes(tensor), strict=True):
                write(fd, memoryview(data), row * spec.size)

    def commit(self, rows: np.ndarray) -> None:
        for fd in self._data:
            os.fsync(fd)
        self.state[rows] = FILLED

    def read(self, tensor: int, row: int, into: memoryview) -> None:
        """A row of one tensor into uint8 `size`."""
        size = self.specs[tensor].size
        if os.preadv(self._data[tensor], [into], row * size) != size:
            raise OSError(f"{self.folder / f'{tensor}.bin'}: row {row} is cut short")

    def close(self) -> None:
        for fd in (*self._data, self._lock):
            os.close(fd)


def make_room(root: Path, own: set[Path], need: int, max_gb: float) -> None:
    """Room for `need` more bytes in the `own` entries: deletes others that nobody reads, the least recently used first.

    Raises:
        NoRoom: there is less than `max_gb` or the disk allow.
    """
    sizes = {folder: used(folder) for folder in root.iterdir() if folder.is_dir()}
    if (total := sum(sizes[folder] for folder in own) + need) > max_gb * GB:
        raise NoRoom(f"needs {readable(total)} of cache.max_gb: {max_gb:g}")
    oldest_first = sorted(sizes.keys() - own, key=lambda folder: folder.stat().st_mtime)
    while reason := shortage(root, need, sum(sizes.values()), max_gb):
        if not oldest_first:
            raise NoRoom(reason)
        folder = oldest_first.pop(0)
        if remove(folder):
            print(f"cache: deleted {readable(sizes.pop(folder))} of features not used lately.", file=sys.stderr)


def shortage(root: Path, need: int, present: int, max_gb: float) -> str | None:
    """Why `need` more bytes do not fit beside those `present`; None: they do."""
    if present + need > max_gb * GB:
        limit = f"cache.max_gb: {max_gb:g}"
        return f"needs {readable(need)} more of {limit}, and running trainings hold {readable(present)}"
    free = max(0, shutil.disk_usage(root).free - SPARE)
    return f"needs {readable(need)}, and the disk has {readable(free)} to spare ({root})" if need > free else None


def used(folder: Path) -> int:
    """Bytes on the disk."""
    return sum(path.stat().st_blocks for path in folder.iterdir()) * 512


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
        write(fd, bytes(size), start)


def write(fd: int, data: memoryview | bytes, start: int) -> None:
    """A disk that fills up takes a part."""
    if os.pwrite(fd, data, start) < len(data):
        raise OSError(errno.ENOSPC, "a row was cut short")


def readable(size: int) -> str:
    return f"{size / GB:.2g} GB" if size >= GB else f"{size / 10**6:,.0f} MB"
