"""Every image decoded once, in parallel: can it be read, how large is it, what does it look like."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2
import imagehash
import numpy as np
from PIL import Image

from ..shared.core.hardware import cores
from ..shared.images.archive import Archive
from ..shared.images.decode import UnreadableImage, decode
from .headers import header
from .mask_inspection import MaskInspection, inspect_mask
from .masks import MaskFile

CHUNK = 16  # images per message to a worker: small enough for an even load and a lively progress bar
THUMBNAIL = 64  # px
SMALLEST = 32  # px; what trimming must leave
BORDER = 20  # grey levels by which a pixel of the border may differ from its median: JPEG's noise, film's fog
SPECKS = 0.02  # share of a row or column of the border that may differ more: dust, letters
WORTH_A_WORKER = 64  # images; starting a process costs about as much as inspecting so many

_task: Callable[[str, Sequence[MaskFile]], Inspection]  # of a worker


@dataclass(frozen=True)
class Inspection:
    """One image; where it is unreadable `fault` says why, and the rest is None."""

    sha256: str
    fault: str | None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    """Pillow's, of the file."""
    quantisation: float | None = None
    """Of a JPEG: the mean of its luminance table."""
    dhash: str | None = None
    trimmed_dhash: str | None = None
    """Of the picture without its uniform borders."""
    brightness: float | None = None
    """Mean of the grey levels, 0…255."""
    contrast: float | None = None
    """Their standard deviation."""
    sharpness: float | None = None
    """Variance of the Laplacian."""
    thumbnail: bytes | None = None
    """Grey, THUMBNAIL × THUMBNAIL."""
    trimmed_thumbnail: bytes | None = None
    masks: list[MaskInspection] = field(default_factory=list)
    """Of its mask files, in their order."""
    header: Mapping[str, str] = field(default_factory=dict)
    """Of a DICOM file, where it is asked for (headers.py)."""


@contextmanager
def inspections(archive: Path, paths: Sequence[str], masks: Sequence[Sequence[MaskFile]],
                hash_size: int, headers: bool = False) -> Iterator[Iterator[Inspection]]:  # fmt: skip
    """Start the workers at once; iterate over their results, in the order of `paths`. `headers`: read those too."""
    task = partial(inspect_member, Archive(archive), hash_size, headers)
    workers = min(cores(), len(paths) // WORTH_A_WORKER)
    if workers < 2:
        yield map(task, paths, masks)
        return
    # spawn, not fork: the parent may run threads (tracking does), and a forked lock stays locked
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(task,)) as pool:
        try:
            yield pool.map(_in_worker, paths, masks, chunksize=CHUNK)
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker(task: Callable[[str, Sequence[MaskFile]], Inspection]) -> None:
    """In a worker, once: sent with each message, the archive would be opened, and all its names read, every time."""
    global _task
    _task = task


def _in_worker(path: str, masks: Sequence[MaskFile]) -> Inspection:
    return _task(path, masks)


def inspect_member(archive: Archive, hash_size: int, headers: bool, path: str, masks: Sequence[MaskFile]) -> Inspection:
    data = archive.read(path)
    return replace(
        inspect_image(data, path, hash_size),
        masks=[inspect_mask(archive.read(file.path), file) for file in masks],
        header=header(data) if headers else {},
    )


def inspect_image(data: bytes, name: str, hash_size: int) -> Inspection:
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        image = decode(data, name)
    except UnreadableImage as error:
        return Inspection(sha256, error.reason)
    grey = image.convert("L")
    array = np.asarray(grey)
    part = trim(array)
    views = [grey] if part is array else [grey, Image.fromarray(part)]
    dhashes = [str(imagehash.dhash(view, hash_size)) for view in views]
    thumbnails = [view.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).tobytes() for view in views]
    brightness, contrast = (float(value[0, 0]) for value in cv2.meanStdDev(array))
    edges = float(cv2.meanStdDev(cv2.Laplacian(array, cv2.CV_32F))[1][0, 0])
    return Inspection(
        sha256, None, *image.size, image.info["source_mode"], image.info.get("quantisation"),
        dhashes[0], dhashes[-1], round(brightness, 4), round(contrast, 4), round(edges**2, 4),
        thumbnails[0], thumbnails[-1],
    )  # fmt: skip


def trim(image: np.ndarray) -> np.ndarray:
    """uint8 H×W without its uniform borders: rows and columns that are nearly as grey as the edge of the image. Where
    little would be left, the image as it is."""
    edge = float(np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])))
    border = cv2.inRange(image, edge - BORDER, edge + BORDER)  # 255 where a pixel is like the edge
    averages = (cv2.reduce(border, dim, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel() for dim in (1, 0))
    rows, columns = (np.flatnonzero(average < 255 * (1 - SPECKS)) for average in averages)
    if min(len(rows), len(columns)) < SMALLEST:
        return image
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return image if image[box].shape == image.shape else image[box]
