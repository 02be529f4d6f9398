"""Images -> .npy files, decoded by many threads and written row by row.

Threads, because decoding and filtering happen in C without Python's lock. Plain writes rather than a memory
map, because a full disk then raises an error; under a memory map it kills the process.
"""

from __future__ import annotations

import errno
import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from ..shared.arrays.masks import MaskFile, class_numbers
from ..shared.arrays.preprocessing import Preprocessor
from ..shared.core.hardware import cores
from ..shared.core.progress import progress
from ..shared.images.archive import Archive, write_archive
from .earlier import Earlier, Row, Table, key_of

BATCH = 8  # images per message to a thread
AHEAD = 2  # messages per thread that may wait in memory to be written


class NpyWriter:
    """Into an open file: the header of a uint8 array, then its rows one by one. Its room on the disk is taken at once
    where the system can do that: a full disk is known before the work, and some file systems then write faster."""

    def __init__(self, file: BinaryIO, shape: tuple[int, ...]) -> None:
        self._file = file
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.flush()
        _take_room(file, file.tell() + math.prod(shape))

    def write(self, row: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(row).data)


def _take_room(file: BinaryIO, size: int) -> None:
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:  # some file systems cannot do it, and do not need it
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise


@dataclass(frozen=True)
class ImageFile:
    """Of one image: its name in the archive, the SHA-256 of its bytes, and its masks."""

    path: str
    sha256: str
    masks: Sequence[MaskFile] = ()


@dataclass(frozen=True)
class Made:
    """The row of one image. `new`: no earlier run had it."""

    key: str
    row: Row
    new: bool


@dataclass(frozen=True)
class Written:
    """`table`: of the rows that were written. `computed`: how many of them no earlier run had."""

    table: Table
    computed: int


def write_arrays(
    folder: Path, archive: Archive, files: Sequence[ImageFile], make: Preprocessor, earlier: Earlier
) -> Written:
    """images.npy (uint8 N×H×W×C). Where any image has masks: masks.npy (uint8 N×H×W; zeros for an image that is not
    annotated) and masks_original.zip ("<row>.png" for one that is). Holds a few images per thread in memory, for any
    N."""
    every = progress(_in_order(archive, files, make, earlier), total=len(files), desc="preprocess", unit="images")
    table, computed = Table(), 0
    height, width = make.spec.height_width
    shape = (len(files), height, width)

    def rows(images: NpyWriter) -> Iterator[Row]:
        nonlocal computed
        for made in every:
            images.write(made.row.prepared.image)
            table.append(made.key, made.row)
            computed += made.new
            yield made.row

    with ExitStack() as stack:
        images = NpyWriter(stack.enter_context((folder / "images.npy").open("w+b")), (*shape, make.spec.channels))
        if not any(file.masks for file in files):
            deque(rows(images), maxlen=0)  # each is written as it comes, and let go
            return Written(table, computed)
        outlines = NpyWriter(stack.enter_context((folder / "masks.npy").open("w+b")), shape)

        def members() -> Iterator[tuple[str, bytes]]:
            for number, row in enumerate(rows(images)):
                mask = row.prepared.mask
                outlines.write(np.zeros((height, width), np.uint8) if mask is None else mask)
                if mask is not None:
                    yield f"{number}.png", row.original_mask

        write_archive(folder / "masks_original.zip", members())
        return Written(table, computed)


def _in_order(archive: Archive, files: Sequence[ImageFile], make: Preprocessor, earlier: Earlier) -> Iterator[Made]:
    """Of each image, in order, made by the threads."""
    cv2.setNumThreads(1)  # one image per thread beats several threads per image
    threads = cores()
    waiting: deque[Future[list[Made]]] = deque()
    work = partial(_made, archive, make, earlier)
    with ThreadPoolExecutor(threads) as pool:
        try:
            for start in range(0, len(files), BATCH):
                waiting.append(pool.submit(list, map(work, files[start : start + BATCH])))
                if len(waiting) > AHEAD * threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _made(archive: Archive, make: Preprocessor, earlier: Earlier, file: ImageFile) -> Made:
    contents = [archive.read(mask.path) for mask in file.masks]
    key = key_of(file.sha256, archive.info(file.path), file.masks, contents)
    row = earlier.row(key, bool(file.masks))
    if row is not None:
        return Made(key, row, new=False)
    original = make.original(archive.read(file.path), file.path)
    if not file.masks:
        return Made(key, Row.of(make.prepare(original, name=file.path)), new=True)
    numbers = class_numbers(file.masks, contents, original.shape[:2])
    prepared = make.prepare(original, numbers, file.path)
    return Made(key, Row.of(prepared, cv2.imencode(".png", numbers)[1].tobytes()), new=True)
