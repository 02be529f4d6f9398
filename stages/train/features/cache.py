"""The frozen-prefix cache: what a prefix that never learns makes of each image, computed once and kept in
<project>/.lightbox/cache. Strategies, samples and experiments share an entry while weights, blocks, images, view and
number format are the same.

Shapes: B batch
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
from ...shared.core.files import disk_full
from ...shared.core.progress import progress
from ...shared.model.predict import batches
from ..data.batches import Images, Item
from ..machine.machine import Machine
from ..params.machine import Cache
from .entry import Entry, Spec, remove
from .prefix import Prefix
from .room import NoRoom, make_room

__all__ = ["FeatureStore", "NoRoom"]

LIBRARIES = ("torch", "torchvision", "timm", "albumentations", "opencv-python-headless")
SHARED, CODE = Path(__file__).parents[2] / "shared", ("model/model.py", "arrays/transforms.py", "arrays/catalogue.py")
FORMAT = 1  # of the entries, and of what a prefix computes: raised when either changes
BATCH = 16  # images: lean, and no slower than more on a CPU
EVERY = 64 * 2**20  # bytes between two looks at whether the disk has them


class FeatureStore:
    """The prefix's outputs for (row, view) pairs of `images`: `fill`, then `read`. A data source (data.Source).

    machine: the training's. steps: those of `images.augment`. about: the backbone,
    in words for people who look into the cache.
    """

    def __init__(
        self,
        prefix: Prefix,
        images: Images,
        settings: Cache,
        *,
        machine: Machine,
        steps: Sequence[Any] = (),
        about: Any = None,
    ) -> None:
        if (images.augment is None) != (not steps):
            raise AssertionError(f"steps are {steps!r} and the augmentation is {images.augment!r}")
        self.prefix, self.images, self.settings, self.steps = prefix.to(machine.device), images, settings, list(steps)
        self.machine = machine
        self.root = paths.project_root() / ".lightbox" / "cache"
        self.entries: dict[int | None, Entry] = {}
        self.specs = [Spec.of(tensor) for tensor in self.compute([(0, None)] * 2)]
        self.about = {"blocks": list(prefix.blocks), "backbone": about, "data": images.arrays.fingerprint}
        self.about |= {
            "precision": machine.precision,
            "device": machine.device.type,
            "tensors": [str(spec) for spec in self.specs],
        }
        self.digest = digest(prefix, self.about)

    def compute(self, items: Sequence[Item]) -> tuple[torch.Tensor, ...]:
        return self.run(self.images.read(items)[0])

    def run(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """uint8 B×C×H×W -> the prefix's outputs, in the training's number format."""
        with self.machine.autocast():
            return self.prefix(images.to(self.machine.device))

    def view(self, view: int | None) -> int | None:
        """Without augmentation all views are the plain image."""
        return None if self.images.augment is None else view

    def entry(self, view: int | None) -> Entry:
        about = self.about | {"view": view}
        if view is not None:
            about |= {"seed": self.images.seed, "augment": self.steps}
        name = hashlib.sha256(json.dumps([self.digest, about], sort_keys=True, default=str).encode()).hexdigest()[:24]
        return Entry(self.root / name, self.specs, len(self.images.arrays.images), about)

    def fill(self, items: Iterable[Item]) -> None:
        """Compute what is not there yet; at most one process computes a view, others wait for it.

        Raises:
            NoRoom: it does not fit into `max_gb` or onto the disk.
        """
        count = len(self.images.arrays.images)
        wanted: dict[int | None, np.ndarray] = defaultdict(lambda: np.zeros(count, dtype=bool))
        for row, view in items:
            wanted[self.view(view)][row] = True
        rows = {view: np.flatnonzero(found) for view, found in wanted.items()}
        try:
            self.prepare(rows)
            self.fill_views(rows)
        except BaseException as error:
            folders = [entry.folder for entry in self.entries.values()]
            self.close()
            if isinstance(error, OSError) and disk_full(self.root, error):
                with FileLock(self.root / ".lock"):
                    for folder in folders:  # others need the room more
                        remove(folder)
                raise NoRoom(f"the disk is full ({self.root})") from error
            raise

    def prepare(self, rows: Mapping[int | None, np.ndarray]) -> None:
        """Open the entries, and make room for what they will hold."""
        for view in rows:
            if view not in self.entries:
                self.entries[view] = self.entry(view)
                self.entries[view].hold()
        with FileLock(self.root / ".lock"):
            counts = {}
            for view, found in rows.items():
                self.entries[view].open()
                counts[view] = int(np.union1d(np.flatnonzero(self.entries[view].filled), found).size)
            make_room(self.root, {self.entries[view]: n for view, n in counts.items()}, self.settings.max_gb)

    def fill_views(self, rows: Mapping[int | None, np.ndarray]) -> None:
        """First the views that nobody else is computing."""
        locks = {view: FileLock(f"{self.entries[view].folder}.fill.lock") for view in rows}
        busy = [view for view in rows if not self.fill_view(view, rows[view], locks[view], wait=False)]
        for view in busy:
            print("cache: another process is computing the same features; waiting for it.", file=sys.stderr)
            self.fill_view(view, rows[view], locks[view], wait=True)

    def fill_view(self, view: int | None, rows: np.ndarray, lock: FileLock, wait: bool) -> bool:
        """False: another process is at it."""
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            return False
        try:
            entry = self.entries[view]
            entry.refresh()
            missing = rows[~entry.filled[rows]]
            if len(missing):
                self.compute_rows(entry, view, missing)
        finally:
            lock.release()
        return True

    def compute_rows(self, entry: Entry, view: int | None, rows: np.ndarray) -> None:
        title = "cache" if view is None else f"cache, view {view + 1}"
        bar = progress(total=len(rows), desc=title, unit="image", leave=False)
        chunks, waiting = batches(rows, BATCH), []
        often = max(1, EVERY // (BATCH * sum(spec.bytes for spec in self.specs)))
        with bar:
            for i, (chunk, images) in enumerate(zip(chunks, self.read_ahead(chunks, view), strict=True), start=1):
                entry.write(chunk, [tensor[: len(chunk)] for tensor in self.run(images)])
                waiting.append(chunk)
                if i % often == 0 or i == len(chunks):
                    entry.commit(np.concatenate(waiting))
                    waiting.clear()
                bar.update(len(chunk))

    def read_ahead(self, chunks: Sequence[np.ndarray], view: int | None) -> Iterator[torch.Tensor]:
        """The images of each chunk, prepared in a second thread; BATCH of them in each, whatever the rows (the last
        ones repeated), so that a row's features do not depend on how many were missing."""

        def padded(chunk: np.ndarray) -> list[Item]:
            return [(int(row), view) for row in np.resize(chunk, BATCH)]

        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self.images.read, padded(chunks[0]))
            for following in [*chunks[1:], None]:
                (images,) = coming.result()
                if following is not None:
                    coming = pool.submit(self.images.read, padded(following))
                yield images

    def read(self, items: Sequence[Item]) -> tuple[torch.Tensor, ...]:
        """The prefix's outputs for a batch of (row, view) pairs, which must have been filled; on the CPU."""
        where = [(self.entries[self.view(view)], row) for row, view in items]
        if not all(entry.filled[row] for entry, row in where):
            raise LookupError("these rows and views were never filled")
        found = []
        for i, spec in enumerate(self.specs):
            data = torch.empty(len(items), spec.bytes, dtype=torch.uint8)
            memory = memoryview(data.numpy().reshape(-1))
            for line, (entry, row) in enumerate(where):
                entry.read(i, row, memory[line * spec.bytes : (line + 1) * spec.bytes])
            found.append(spec.from_bytes(data))
        return tuple(found)

    def close(self) -> None:
        """Let others delete its entries. The end of the process does so too."""
        for entry in self.entries.values():
            entry.close()
        self.entries.clear()


def digest(prefix: Prefix, about: Mapping[str, Any]) -> str:
    """Of all that the outputs for an image depend on: code, settings, and each tensor's content."""
    networks = [*map(version, LIBRARIES), str(prefix.model.backbone.network), prefix.code]
    settings = [torch.get_float32_matmul_precision(), torch.backends.cudnn.conv.fp32_precision]
    found = hashlib.sha256(json.dumps([FORMAT, networks, settings, about], default=str).encode())
    for path in sorted([*(SHARED / "model" / "backbones").glob("*.py"), *(SHARED / name for name in CODE)]):
        found.update(path.read_bytes())
    for name, tensor in sorted(prefix.tensors().items()):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.stride()} {tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()
