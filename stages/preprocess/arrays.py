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
from .earlier import Earlier, Row, Table, key_of
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
class ImageFile:
    """Of one image: its name in the archive, the SHA-256 of its bytes, and its masks."""

    path: str
    sha256: str
    masks: Sequence[MaskFile] = ()


@dataclass(frozen=True)
class Written:
    """`digest`: of all arrays. `table`: of their rows. `computed`: how many of them no earlier run had."""

    digest: str
    table: Table
    computed: int


def write_arrays(
    folder: Path, archive: Archive, files: Sequence[ImageFile], make: Preprocessor, earlier: Earlier
) -> Written:
    """images.npy (uint8 N×H×W×C). Where any image has masks: masks.npy (uint8 N×H×W; zeros for an image that is not
    annotated) and masks_original.zip ("<row>.png" for one that is). Holds a few images per thread in memory, for any
    N."""
    made = progress(_in_order(archive, files, make, earlier), total=len(files), desc="preprocess", unit="images")
    table, computed = Table(), 0
    height, width = make.spec.height_width
    shape = (len(files), height, width)

    def rows(images: NpyWriter) -> Iterator[Row]:
        nonlocal computed
        for key, row, new in made:
            images.write(row.prepared.image)
            table.append(key, row)
            computed += new
            yield row

    with ExitStack() as stack:
        images = NpyWriter(stack.enter_context((folder / "images.npy").open("wb")), (*shape, make.spec.channels))
        if not any(file.masks for file in files):
            deque(rows(images), maxlen=0)  # each is written as it comes, and let go
            return Written(images.sha256.hexdigest(), table, computed)
        outlines = NpyWriter(stack.enter_context((folder / "masks.npy").open("wb")), shape)
        originals = hashlib.sha256()

        def members() -> Iterator[tuple[str, bytes]]:
            for number, row in enumerate(rows(images)):
                mask = row.prepared.mask
                outlines.write(np.zeros((height, width), np.uint8) if mask is None else mask)
                if mask is not None:
                    originals.update(row.original_mask)
                    yield f"{number}.png", row.original_mask

        write_archive(folder / "masks_original.zip", members())
        digest = images.sha256.hexdigest() + outlines.sha256.hexdigest() + originals.hexdigest()
        return Written(digest, table, computed)


def _row(data: bytes, path: str, files: Sequence[MaskFile], contents: Sequence[bytes], make: Preprocessor) -> Row:
    original = make.original(data, path)
    if not files:
        return Row(make.prepare(original, name=path))
    numbers = class_numbers(files, contents, original.shape[:2])
    return Row(make.prepare(original, numbers, path), cv2.imencode(".png", numbers)[1].tobytes())


def _in_order(
    archive: Archive, files: Sequence[ImageFile], make: Preprocessor, earlier: Earlier
) -> Iterator[tuple[str, Row, bool]]:
    """(its key, the row, whether it is new) of each image, in order; the archive and earlier rows are read here, the
    rest happens in the threads."""
    cv2.setNumThreads(1)  # one image per thread beats several threads per image
    threads = cores()
    waiting: deque[tuple[str, Future[Row], bool]] = deque()

    def next_row() -> tuple[str, Row, bool]:
        key, future, new = waiting.popleft()
        return key, future.result(), new

    with ThreadPoolExecutor(threads) as pool:
        try:
            for file in files:
                contents = [archive.read(mask.path) for mask in file.masks]
                key = key_of(file.sha256, archive.info(file.path), file.masks, contents)
                known = earlier.row(key, bool(file.masks))
                if known is None:
                    future = pool.submit(_row, archive.read(file.path), file.path, file.masks, contents, make)
                else:
                    future = Future()
                    future.set_result(known)
                waiting.append((key, future, known is None))
                if len(waiting) > AHEAD * threads:
                    yield next_row()
            while waiting:
                yield next_row()
        finally:
            pool.shutdown(cancel_futures=True)
