"""One entry of the feature cache on disk: what a frozen prefix gives for one view of the images.

    <name>/0.npy, 1.npy, …   one file per tensor, a row per image, sparse: rows never asked for take no disk
    <name>/filled.npy        bool per row; set once the row's tensors are on the disk
    <name>/entry.json        what it holds, for people, and how much of the disk it was promised
    <name>.lock              shared by those who read the entry; who deletes it wants it alone

Rows are read with preadv: mapped pages would count as memory of the process. bfloat16 is kept as its bit patterns.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...shared.core.files import read_json, write_json

INFO, FILLED = "entry.json", "filled.npy"
BLOCK = 4096  # bytes; what a file system gives out at least


@dataclass(frozen=True)
class Spec:
    """One image's part of a tensor, without the batch dimension, as it lies in memory."""

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

    @cached_property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def to_bytes(self, batch: torch.Tensor) -> np.ndarray:
        """B×… -> uint8 B×bytes."""
        batch = batch.permute(0, 2, 3, 1) if self.channels_last else batch
        return batch.cpu().contiguous().reshape(len(batch), -1).view(torch.uint8).numpy()

    def from_bytes(self, data: torch.Tensor) -> torch.Tensor:
        """uint8 B×bytes -> B×…, without a copy."""
        batch = data.view(self.dtype).view(len(data), *self.stored)
        return batch.permute(0, 3, 1, 2) if self.channels_last else batch

    def header(self, rows: int) -> bytes:
        """Of a .npy file."""
        kind = np.dtype("<u2") if self.dtype == torch.bfloat16 else torch.empty(0, dtype=self.dtype).numpy().dtype
        return npy_header((rows, *self.stored), kind)


def npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    file = BytesIO()
    told = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, told)
    return file.getvalue()


class Entry:
    """Held (see `hold`) it cannot be deleted by others."""

    def __init__(self, folder: Path, specs: Sequence[Spec], rows: int, about: Mapping[str, Any]) -> None:
        self.folder, self.specs, self.about = folder, tuple(specs), dict(about)
        self.headers = [spec.header(rows) for spec in specs]
        self.sizes = [len(h) + rows * spec.bytes for h, spec in zip(self.headers, specs, strict=True)]
        self.mark = npy_header((rows,), np.dtype(bool))
        self.filled = np.zeros(rows, dtype=bool)
        self._lock: int | None = None
        self._files: list[int] = []

    def hold(self) -> None:
        """Wait until nobody is deleting it, and keep it from being deleted until `close`."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(lock_of(self.folder), os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def open(self) -> None:
        """Open the files, made anew where they are missing or damaged. One process at a time."""
        if (self.folder / INFO).exists() and (fault := self.fault()):
            print(f"{self.folder}: damaged ({fault}); computing its features anew.", file=sys.stderr)
            (self.folder / INFO).unlink()
        if not (self.folder / INFO).exists():
            self.create()
        self._files = [os.open(path, os.O_RDWR) for path in self.paths()]
        self.refresh()
        os.utime(self.folder / INFO)  # last used now

    def paths(self) -> list[Path]:
        return [*(self.folder / f"{i}.npy" for i in range(len(self.specs))), self.folder / FILLED]

    def create(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        sizes = [*self.sizes, len(self.mark) + len(self.filled)]
        for path, header, size in zip(self.paths(), [*self.headers, self.mark], sizes, strict=True):
            with path.open("wb") as file:
                file.write(header)
                file.truncate(size)
        write_json(self.folder / INFO, {**self.about, "promised": 0})

    def fault(self) -> str | None:
        """What is wrong with the files, or None."""
        sizes = [*self.sizes, len(self.mark) + len(self.filled)]
        try:
            read_json(self.folder / INFO)["promised"]
            for path, header, size in zip(self.paths(), [*self.headers, self.mark], sizes, strict=True):
                if path.stat().st_size != size:
                    return f"{path.name} has {path.stat().st_size:,} bytes, not {size:,}"
                with path.open("rb") as file:
                    if file.read(len(header)) != header:
                        return f"{path.name} holds something else"
        except (OSError, ValueError, KeyError, TypeError) as error:
            return str(error)
        return None

    def refresh(self) -> None:
        """Read which rows are filled: another process may have been at work."""
        flags = os.pread(self._files[-1], len(self.filled), len(self.mark))
        self.filled = np.frombuffer(flags, dtype=bool).copy()

    def promise(self, rows: int) -> None:
        """Tell other processes how much of the disk it will take once filled."""
        promised = max(self.need(rows), read_json(self.folder / INFO)["promised"])
        write_json(self.folder / INFO, {**self.about, "promised": promised})

    def need(self, rows: int) -> int:
        """Bytes on the disk for so many rows, at most."""
        data = sum(min(rows * (spec.bytes + BLOCK), size) for spec, size in zip(self.specs, self.sizes, strict=True))
        return data + len(self.filled) + (len(self.specs) + 4) * BLOCK

    def write(self, rows: np.ndarray, tensors: Sequence[torch.Tensor]) -> None:
        """Rows n and, per tensor, n×…; not filled until `commit`."""
        for fd, header, spec, tensor in zip(self._files, self.headers, self.specs, tensors, strict=False):
            for row, data in zip(rows, spec.to_bytes(tensor), strict=True):
                write_all(fd, memoryview(data), len(header) + int(row) * spec.bytes)

    def commit(self, rows: np.ndarray) -> None:
        """Mark rows as filled, behind their data: a crash or a power cut leaves no row that only looks filled."""
        for fd in self._files[:-1]:
            os.fsync(fd)
        for row in rows:
            os.pwrite(self._files[-1], b"\1", len(self.mark) + int(row))
        self.filled[rows] = True

    def read(self, tensor: int, row: int, into: memoryview) -> None:
        """A row of one tensor into uint8 `bytes`."""
        size = self.specs[tensor].bytes
        whole(os.preadv(self._files[tensor], [into], len(self.headers[tensor]) + row * size), size, self.folder)

    def close(self) -> None:
        for fd in self._files:
            os.close(fd)
        if self._lock is not None:
            os.close(self._lock)
        self._files, self._lock = [], None


def write_all(fd: int, data: memoryview, offset: int) -> None:
    """A disk that fills up takes a part first; only the next write says why."""
    while data:
        done = os.pwrite(fd, data, offset)
        data, offset = data[done:], offset + done


def whole(done: int, wanted: int, folder: Path) -> None:
    if done != wanted:
        raise OSError(f"{folder}: {done} of {wanted} bytes read")


def lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


def used(folder: Path) -> int:
    """Bytes on the disk, or those promised to it if they are more."""
    blocks = sum(path.stat().st_blocks * 512 for path in folder.iterdir())
    try:
        return max(blocks, int(read_json(folder / INFO)["promised"]))
    except (OSError, ValueError, KeyError, TypeError):  # damaged: whoever uses it next makes it anew
        return blocks


def remove(folder: Path) -> bool:
    """Delete an entry unless somebody holds it; whether it did."""
    fd = os.open(lock_of(folder), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=not folder.exists())
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
