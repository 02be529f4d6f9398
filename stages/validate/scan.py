"""One look at every image: can it be read, how large is it, what does it look like. In parallel, over the
archive."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..shared.images.archive import Archive

CHUNK = 16  # images per message to a worker: small enough for an even load and a lively progress bar
THUMBNAIL = 32  # px
WORTH_A_WORKER = 64  # images; starting a process costs about as much as looking at so many


@dataclass(frozen=True)
class Look:
    """What was seen of one image; all None where it is unreadable, and `reason` says why. `thumbnail`: grey,
    THUMBNAIL × THUMBNAIL bytes."""

    readable: bool
    reason: str | None
    sha256: str
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    dhash: str | None = None
    brightness: float | None = None
    contrast: float | None = None
    sharpness: float | None = None
    thumbnail: bytes | None = None
    mask_fault: str | None = None


Item = tuple[str, str | None]  # image, its mask


@contextmanager
def looking(archive: Path, items: Sequence[Item], hash_size: int) -> Iterator[Iterator[list[Look]]]:
    """Start looking at once, in the background; iterate over the results chunk by chunk, in the order of
    `items`."""
    chunks = [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
    workers = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
                  len(items) // WORTH_A_WORKER)  # fmt: skip
    if workers < 2:
        yield (look_at(archive, chunk, hash_size) for chunk in chunks)
        return
    # spawn, not fork: the parent may run threads (tracking does), and a forked lock stays locked
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        futures: list[Future[list[Look]]] = [pool.submit(look_at, archive, chunk, hash_size) for chunk in chunks]
        try:
            yield (future.result() for future in futures)
        finally:
            pool.shutdown(cancel_futures=True)


def look_at(archive: Path, items: Sequence[Item], hash_size: int) -> list[Look]:
    """What a worker does."""
    opened = Archive(archive)
    return [
        look(opened.read(name), name, hash_size, (opened.read(mask), mask) if mask else None) for name, mask in items
    ]


def look(data: bytes, name: str, hash_size: int, mask: tuple[bytes, str] | None = None) -> Look:
    from ..shared.images.decode import UnreadableImage, decode

    sha256 = hashlib.sha256(data).hexdigest()
    fault = _mask_fault(*mask) if mask else None
    try:
        image = decode(data, name)
    except UnreadableImage as error:
        return Look(False, error.reason, sha256, mask_fault=fault)
    import imagehash
    from PIL.Image import Resampling

    grey = image.convert("L")
    brightness, contrast, sharpness = _measure(grey)
    thumbnail = grey.resize((THUMBNAIL, THUMBNAIL), Resampling.BOX).tobytes()
    return Look(
        True, None, sha256, *image.size, image.info["source_mode"], str(imagehash.dhash(grey, hash_size)),
        brightness, contrast, sharpness, thumbnail, fault,
    )  # fmt: skip


def _measure(grey: object) -> tuple[float, float, float]:
    """Mean and standard deviation of the grey levels, variance of the Laplacian (sharpness); 4 decimals."""
    import cv2
    import numpy as np

    array = np.asarray(grey)
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(array))
    laplacian = cv2.meanStdDev(cv2.Laplacian(array, cv2.CV_32F))[1][0, 0]
    return round(mean, 4), round(deviation, 4), round(float(laplacian) ** 2, 4)


def _mask_fault(data: bytes, name: str) -> str | None:
    from ..shared.images.decode import UnreadableImage, decode

    try:
        decode(data, name)
    except UnreadableImage as error:
        return error.reason
    return None
