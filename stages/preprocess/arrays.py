"""Images -> .npy files, decoded by many threads and written row by row.

Threads, because decoding and filtering happen in C without Python's lock. Plain writes rather than a memory
map, because a full disk then raises an error; under a memory map it kills the process.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from ..shared.arrays.preprocessing import Preprocessor
from ..shared.core.hardware import cores
from ..shared.core.progress import progress
from ..shared.images.archive import Archive, write_archive
from .masks import MaskFile, class_numbers

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


@dataclass(frozen=True)
class Made:
    """Of one image: uint8 H×W×C; and, where it is annotated, its class numbers, uint8 H×W, and those of its own size as
    PNG."""

    image: np.ndarray
    mask: np.ndarray | None = None
    original_mask: bytes = b""


def write_arrays(
    folder: Path, archive: Archive, paths: Sequence[str], masks: Sequence[Sequence[MaskFile]], make: Preprocessor
) -> str:
    """images.npy (uint8 N×H×W×C). Where any of `masks`, of each image, has files: masks.npy (uint8 N×H×W; zeros for an
    image that is not annotated) and masks_original.zip ("<row>.png" for one that is). Returns a digest. Holds a few
    images per thread in memory, for any N."""
    made = _in_order(archive, paths, masks, make)
    made = progress(made, total=len(paths), desc="preprocess", unit="images")
    height, width = make.spec.height_width
    shape = (len(paths), height, width)
    with ExitStack() as stack:
        images = NpyWriter(stack.enter_context((folder / "images.npy").open("wb")), (*shape, make.spec.channels))
        if not any(masks):
            for one in made:
                images.write(one.image)
            return images.sha256.hexdigest()
        outlines = NpyWriter(stack.enter_context((folder / "masks.npy").open("wb")), shape)
        originals = hashlib.sha256()

        def members() -> Iterator[tuple[str, bytes]]:
            for row, one in enumerate(made):
                images.write(one.image)
                outlines.write(np.zeros((height, width), np.uint8) if one.mask is None else one.mask)
                if one.mask is not None:
                    originals.update(one.original_mask)
                    yield f"{row}.png", one.original_mask

        write_archive(folder / "masks_original.zip", members())
        return images.sha256.hexdigest() + outlines.sha256.hexdigest() + originals.hexdigest()


def _make(data: bytes, path: str, files: Sequence[MaskFile], contents: Sequence[bytes], make: Preprocessor) -> Made:
    original = make.original(data, path)
    if not files:
        return Made(make.prepare(original)[0])
    numbers = class_numbers(files, contents, original.shape[:2])
    image, mask = make.prepare(original, numbers)
    return Made(image, mask, cv2.imencode(".png", numbers)[1].tobytes())


def _in_order(
    archive: Archive, paths: Sequence[str], masks: Sequence[Sequence[MaskFile]], make: Preprocessor
) -> Iterator[Made]:
    """Each image with its masks, in order; the archive is read here, the rest happens in the threads."""
    cv2.setNumThreads(1)  # one image per thread beats several threads per image
    threads = cores()
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for path, files in zip(paths, masks, strict=True):
                contents = [archive.read(file.path) for file in files]
                waiting.append(pool.submit(_make, archive.read(path), path, files, contents, make))
                if len(waiting) > AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
