"""The feature store: what blocks that never learn make of each image, computed once and kept on the disk (disk.py).
Strategies, samples and experiments share an entry while all that its numbers depend on is the same: weights, code,
libraries, images, view and number format.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from ...shared.core.code import digest_of
from ...shared.core.files import disk_full
from ...shared.core.progress import progress
from ...shared.model.predict import as_tensor, batches
from ..batches import Images, Item
from ..machine.machine import Machine
from .cut import Prefix
from .disk import CLAIMED, FILLED, Entry, NoRoom, Spec, make_room, remove

CODE = ("train/batches.py", "train/features", "shared/arrays", "shared/model")  # that decides what the features are
LIBRARIES = ("torch", "torchvision", "timm", "albumentations", "opencv-python-headless")
BATCH = 16  # images: lean, and no slower than more on a CPU
PART = 16 * BATCH  # images between two moments at which rows become FILLED


class FeatureStore:
    """The prefix's outputs for (row, view) pairs of `images`: `fill`, then `read`. A data source (batches.Source)."""

    def __init__(self, prefix: Prefix, images: Images, max_gb: float, machine: Machine) -> None:
        self.prefix, self.images, self.max_gb, self.machine = prefix, images, max_gb, machine
        self.root = machine.scratch / "cache"
        self.entries: dict[int | None, Entry] = {}
        prefix.model.to(machine.device)
        blank = np.zeros((2, *images.arrays.images.shape[1:]), np.uint8)  # a real image might be one of the test part
        self.specs = [Spec.of(tensor) for tensor in self.compute(as_tensor(blank))]
        self.digest = digest(prefix)

    def compute(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """uint8 B×C×H×W -> the prefix's outputs, in the training's number format."""
        with self.machine.autocast():
            return self.prefix(images.to(self.machine.device))

    def view(self, view: int | None) -> int | None:
        """Without augmentation all views are the plain image."""
        return view if self.images.steps else None

    def folder(self, view: int | None) -> Path:
        """Of a view's entry: named by all that its features depend on."""
        augmented = [] if view is None else [view, self.images.seed, self.images.steps]
        machine = [self.machine.precision, self.machine.device.type]
        content = [self.digest, [str(spec) for spec in self.specs], self.images.arrays.fingerprint, machine, augmented]
        return self.root / hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:24]

    def fill(self, items: Iterable[Item]) -> None:
        """Compute what is not there yet. At most one process computes a view, others wait for it.

        Raises:
            NoRoom: it does not fit into `max_gb` or onto the disk.
        """
        by_view: dict[int | None, set[int]] = defaultdict(set)
        for row, view in items:
            by_view[self.view(view)].add(row)
        rows = {view: np.array(sorted(rows)) for view, rows in by_view.items()}
        try:
            self.claim(rows)
            self.compute_missing(rows)
        except OSError as error:
            if disk_full(self.root, error) is None:
                raise
            folders = [entry.folder for entry in self.entries.values()]
            self.close()
            with FileLock(self.root / ".lock"):
                for folder in folders:  # others need the room more
                    remove(folder)
            raise NoRoom(f"the disk is full ({self.root})") from error

    def claim(self, rows: Mapping[int | None, np.ndarray]) -> None:
        """Open the entries, and take the room that they will need."""
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / ".lock"):
            for view in rows.keys() - self.entries.keys():
                count = len(self.images.arrays.images)
                self.entries[view] = Entry(self.folder(view), self.specs, count)
            unclaimed = {view: self.entries[view].missing(needed, CLAIMED) for view, needed in rows.items()}
            own = {entry.folder for entry in self.entries.values()}
            need = sum(spec.size for spec in self.specs) * sum(map(len, unclaimed.values()))
            make_room(self.root, own, need, self.max_gb)
            for view, missing in unclaimed.items():
                self.entries[view].claim(missing)

    def compute_missing(self, rows: Mapping[int | None, np.ndarray]) -> None:
        """First the views that nobody else is computing."""
        for timeout in (0, -1):
            for view, needed in rows.items():
                entry = self.entries[view]
                if not len(entry.missing(needed)):
                    continue
                try:
                    with FileLock(entry.folder / "fill.lock", timeout=timeout):
                        self.compute_rows(entry, view, entry.missing(needed))
                except Timeout:
                    print("cache: another process is computing the same features; waiting for it.", file=sys.stderr)

    def compute_rows(self, entry: Entry, view: int | None, rows: np.ndarray) -> None:
        """In batches of BATCH images, the last ones repeated, so that a row's features do not depend on how many were
        missing. A second thread reads and augments the images ahead."""

        def read(chunk: np.ndarray) -> torch.Tensor:
            return self.images.read([(int(row), view) for row in np.resize(chunk, BATCH)])[0][0]

        title = "cache" if view is None else f"cache, view {view + 1}"
        bar = progress(total=len(rows), desc=title, unit="images", leave=False)
        with bar, ThreadPoolExecutor(1) as reader:
            for part in batches(rows, PART):
                chunks = batches(part, BATCH)
                for chunk, images in zip(chunks, reader.map(read, chunks), strict=True):
                    entry.write(chunk, [tensor[: len(chunk)] for tensor in self.compute(images)])
                    bar.update(len(chunk))
                entry.commit(part)

    def read(self, items: Sequence[Item]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """The prefix's outputs for a batch of (row, view) pairs, which must have been filled, and its targets; on the
        CPU."""
        where = [(self.entries[self.view(view)], row) for row, view in items]
        if any(entry.state[row] != FILLED for entry, row in where):
            raise LookupError("these rows and views were never filled")
        tensors = []
        for i, spec in enumerate(self.specs):
            data = torch.empty(len(items), spec.size, dtype=torch.uint8)
            memory = data.numpy().reshape(-1).data
            for line, (entry, row) in enumerate(where):
                entry.read(i, row, memory[line * spec.size : (line + 1) * spec.size])
            tensors.append(spec.from_bytes(data))
        return tuple(tensors), self.images.targets_of(items)

    def close(self) -> None:
        """Let others delete its entries. The end of the process does so too."""
        for entry in self.entries.values():
            entry.close()
        self.entries.clear()


def digest(prefix: Prefix) -> str:
    """Of all that the outputs for an image depend on: code, libraries, number formats, and each tensor's content."""
    parts = [digest_of(*CODE), prefix.code, str(prefix.model.backbone.network), *map(version, LIBRARIES)]
    parts += [torch.get_float32_matmul_precision(), str(torch.backends.cudnn.conv.fp32_precision)]  # type: ignore[attr-defined]
    sha = hashlib.sha256(json.dumps(parts).encode())
    for name, tensor in sorted(prefix.tensors().items()):
        sha.update(f"{name} {tuple(tensor.shape)} {tensor.stride()} {tensor.dtype}".encode())
        sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
