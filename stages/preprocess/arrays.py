"""Images -> .npy files, decoded by many threads and written row by row.

Threads, because decoding and filtering happen in C without Python's lock. Plain writes rather than a memory
map, because a full disk then raises an error; under a memory map it kills the process.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from ..shared.arrays.preprocessing import Preprocessor
from ..shared.core.progress import progress
from ..shared.images.archive import Archive

Pair = tuple[np.ndarray, np.ndarray | None]
AHEAD = 4  # images per thread that may wait in memory to be written


class NpyWriter:
    """Into an open file: the header of a uint8 array, then its rows one by one; `sha256` covers the rows."""

    def __init__(self, file: BinaryIO, shape: tuple[int, ...]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})

    def write(self, row: np.ndarray) -> None:
        data = row.tobytes()
        self.sha256.update(data)
        self._file.write(data)


def write_arrays(
    folder: Path, archive: Archive, paths: Sequence[str], masks: Sequence[str | None] | None, make: Preprocessor
) -> str:
    """images.npy (uint8 N×H×W×C) and, where `masks` is given, masks.npy (uint8 N×H×W; zeros for an image
    without one). Returns a digest of both. Holds a few images per thread in memory, for any N."""
    height, width = make.spec.height_width
    shape = (len(paths), height, width)
    with ExitStack() as stack:
        images = NpyWriter(stack.enter_context((folder / "images.npy").open("wb")), (*shape, make.spec.channels))
        outlines = NpyWriter(stack.enter_context((folder / "masks.npy").open("wb")), shape) if masks else None
        pairs = _in_order(archive, paths, masks or [None] * len(paths), make)
        for image, mask in progress(pairs, total=len(paths), desc="preprocess", unit="image"):
            images.write(image)
            if outlines:
                outlines.write(np.zeros((height, width), np.uint8) if mask is None else mask)
        return images.sha256.hexdigest() + (outlines.sha256.hexdigest() if outlines else "")


def _in_order(
    archive: Archive, paths: Sequence[str], masks: Sequence[str | None], make: Preprocessor
) -> Iterator[Pair]:
    """Each image with its mask, in order; the archive is read here, the rest happens in the threads."""
    cv2.setNumThreads(1)  # one image per thread beats several threads per image
    threads = os.cpu_count() or 1
    waiting: deque[Future[Pair]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for path, mask in zip(paths, masks, strict=True):
                outline = archive.read(mask) if mask else None
                waiting.append(pool.submit(make.with_mask, archive.read(path), path, outline, mask or ""))
                if len(waiting) > AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
