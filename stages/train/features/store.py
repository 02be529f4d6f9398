"""The feature store: what blocks that never learn make of each image, computed once and kept in
<project>/.lightbox/cache (disk.py). Strategies, samples and experiments share an entry while all that its numbers
depend on is the same: weights, code, libraries, images, view and number format.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from ...shared.core import paths
from ...shared.core.code import digest_of
from ...shared.core.files import disk_full
from ...shared.core.progress import progress
from ...shared.model.predict import batches
from ..data.batches import Images, Item
from ..machine.machine import Machine
from .cut import Prefix
from .disk import CLAIMED, FILLED, Entry, NoRoom, Spec, make_room, remove

CODE = ("train/data", "train/features", "shared/arrays", "shared/model")  # that decides what the features are
LIBRARIES = ("torch", "torchvision", "timm", "albumentations", "opencv-python-headless")
BATCH = 16  # images: lean, and no slower than more on a CPU
EVERY = 64 * 2**20  # bytes between two moments at which rows become FILLED


class FeatureStore:
    """The prefix's outputs for (row, view) pairs of `images`: `fill`, then `read`. A data source (data.Source)."""

    def __init__(self, prefix: Prefix, images: Images, max_gb: float, machine: Machine) -> None:
        self.prefix, self.images, self.max_gb, self.machine = prefix, images, max_gb, machine
        self.root = paths.project_root() / ".lightbox" / "cache"
        self.entries: dict[int | None, Entry] = {}
        prefix.model.to(machine.device)
        self.specs = [Spec.of(tensor) for tensor in self.compute([(0, None)] * 2)]
        self.about = {"blocks": list(prefix.blocks), "network": type(prefix.model.backbone.network).__name__}
        self.about |= {"data": images.arrays.fingerprint, "tensors": [str(spec) for spec in self.specs]}
        self.about |= {"precision": machine.precision, "device": machine.device.type, "digest": digest(prefix)}

    def compute(self, items: Sequence[Item]) -> tuple[torch.Tensor, ...]:
        return self.run(self.images.read(items)[0])

    def run(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """uint8 B×C×H×W -> the prefix's outputs, in the training's number format."""
        with self.machine.autocast():
            return self.prefix(images.to(self.machine.device))

    def view(self, view: int | None) -> int | None:
        """Without augmentation all views are the plain image."""
        return None if self.images.augment is None else view

    def about_view(self, view: int | None) -> dict[str, Any]:
        """What the features of a view depend on."""
        augmented = {} if view is None else {"seed": self.images.seed, "augment": list(self.images.steps)}
        return self.about | {"view": view} | augmented

    def folder(self, view: int | None) -> Path:
        content = json.dumps(self.about_view(view), sort_keys=True, default=str)
        return self.root / hashlib.sha256(content.encode()).hexdigest()[:24]

    def fill(self, items: Iterable[Item]) -> None:
        """Compute what is not there yet. At most one process computes a view, others wait for it.

        Raises:
            NoRoom: it does not fit into `max_gb` or onto the disk.
        """
        count = len(self.images.arrays.images)
        wanted: dict[int | None, np.ndarray] = defaultdict(lambda: np.zeros(count, dtype=bool))
        for row, view in items:
            wanted[self.view(view)][row] = True
        rows = {view: np.flatnonzero(flags) for view, flags in wanted.items()}
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
        size, count = sum(spec.size for spec in self.specs), len(self.images.arrays.images)
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / ".lock"):
            for view in rows.keys() - self.entries.keys():
                self.entries[view] = Entry(self.folder(view), self.specs, count, self.about_view(view))
            missing = {view: self.entries[view].missing(wanted, CLAIMED) for view, wanted in rows.items()}
            own = {entry.folder for entry in self.entries.values()}
            make_room(self.root, own, size * sum(map(len, missing.values())), self.max_gb)
            for view, unclaimed in missing.items():
                self.entries[view].claim(unclaimed)

    def compute_missing(self, rows: Mapping[int | None, np.ndarray]) -> None:
        """First the views that nobody else is computing."""
        for timeout in (0, -1):
            for view, wanted in rows.items():
                entry = self.entries[view]
                if not len(entry.missing(wanted)):
                    continue
                try:
                    with FileLock(entry.folder / "fill.lock", timeout=timeout):
                        self.compute_rows(entry, view, entry.missing(wanted))
                except Timeout:
                    print("cache: another process is computing the same features; waiting for it.", file=sys.stderr)

    def compute_rows(self, entry: Entry, view: int | None, rows: np.ndarray) -> None:
        title = "cache" if view is None else f"cache, view {view + 1}"
        chunks, computed = batches(rows, BATCH), []
        often = max(1, EVERY // (BATCH * sum(spec.size for spec in self.specs)))
        with progress(total=len(rows), desc=title, unit="image", leave=False) as bar:
            for i, (chunk, images) in enumerate(zip(chunks, self.read_ahead(chunks, view), strict=True), start=1):
                entry.write(chunk, [tensor[: len(chunk)] for tensor in self.run(images)])
                computed.append(chunk)
                if i % often == 0 or i == len(chunks):
                    entry.commit(np.concatenate(computed))
                    computed.clear()
                bar.update(len(chunk))

    def read_ahead(self, chunks: Sequence[np.ndarray], view: int | None) -> Iterator[torch.Tensor]:
        """The images of each chunk, prepared in a second thread. There are always BATCH of them (the last ones
        repeated), so that a row's features do not depend on how many were missing."""

        def prepared(chunk: np.ndarray) -> torch.Tensor:
            return self.images.read([(int(row), view) for row in np.resize(chunk, BATCH)])[0]

        with ThreadPoolExecutor(1) as pool:
            coming = [pool.submit(prepared, chunk) for chunk in chunks[:2]]
            for i in range(len(chunks)):
                yield coming.pop(0).result()
                coming += [pool.submit(prepared, chunk) for chunk in chunks[i + 2 : i + 3]]

    def read(self, items: Sequence[Item]) -> tuple[torch.Tensor, ...]:
        """The prefix's outputs for a batch of (row, view) pairs, which must have been filled; on the CPU."""
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
        return tuple(tensors)

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
