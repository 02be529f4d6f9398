"""Inspections of earlier runs: a file whose bytes and masks, and the settings, code and libraries, are the same is not
decoded again. Its bytes are read all the same, because only their SHA-256 proves that they are what was inspected: the
archive's own checksum is 32 bits that anybody can match, and reading takes a fortieth of the time of an inspection.

Kept as EarlierRuns keeps them, in one table with checksums of its pages. What could not be read is inspected again:
tomorrow its decoder may be installed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import chain, islice
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from ..shared.core.code import digest_of
from ..shared.core.earlier import EarlierRuns
from ..shared.core.hardware import cores
from ..shared.images.archive import Archive
from .inspection import Inspection
from .masks import MaskFile

CODE = (
    "validate/earlier.py", "validate/headers.py", "validate/inspection.py", "validate/mask_inspection.py",
    "shared/images",
)  # fmt: skip
LIBRARIES = ("imagehash", "numpy", "opencv-python-headless", "pillow", "pydicom")
TABLE = "inspections.parquet"
ROWS = 4096  # written at once: 32 MiB of thumbnails
TOGETHER = 64  # images per task of a thread: a task of its own costs as much as the digest of a small file
SCHEMA = pa.schema([
    ("key", pa.string()), ("facts", pa.binary()), ("thumbnail", pa.binary()), ("trimmed_thumbnail", pa.binary()),
])  # fmt: skip
_FACTS = TypeAdapter(Inspection)
_PICTURES = {"thumbnail", "trimmed_thumbnail"}


class Earlier:
    """`hash_size`, `headers`: what else an inspection depends on (inspection.py)."""

    def __init__(self, hash_size: int, headers: bool) -> None:
        libraries = [version(name) for name in LIBRARIES]
        self._runs = EarlierRuns("inspections", [hash_size, headers, digest_of(*CODE), libraries])
        self._known = self._read()

    def find(
        self, archive: Archive, paths: Sequence[str], masks: Sequence[Sequence[MaskFile]]
    ) -> list[Inspection | None]:
        """Of each image with its masks; None where it has to be inspected."""
        if not self._known:
            return [None] * len(paths)
        pairs = list(zip(paths, masks, strict=True))
        parts = [pairs[start : start + TOGETHER] for start in range(0, len(pairs), TOGETHER)]
        with ThreadPoolExecutor(cores()) as pool:
            return list(chain.from_iterable(pool.map(partial(self._of_all, archive), parts)))

    def _of_all(self, archive: Archive, pairs: Sequence[tuple[str, Sequence[MaskFile]]]) -> list[Inspection | None]:
        return [self._of(archive, path, masks) for path, masks in pairs]

    def _of(self, archive: Archive, path: str, masks: Sequence[MaskFile]) -> Inspection | None:
        digests = [archive.sha256(name) for name in (path, *(mask.path for mask in masks))]
        row = self._known.get(_key(path, digests[0], masks, digests[1:]))
        if row is None:
            return None
        facts, thumbnail, trimmed = row
        return replace(_FACTS.validate_json(facts), thumbnail=thumbnail, trimmed_thumbnail=trimmed or thumbnail)

    def keep(
        self, paths: Sequence[str], masks: Sequence[Sequence[MaskFile]], inspections: Sequence[Inspection]
    ) -> None:
        rows = {
            _key(path, inspection.sha256, files, [mask.sha256 for mask in inspection.masks]): inspection
            for path, files, inspection in zip(paths, masks, inspections, strict=True)
            if inspection.fault is None and not any(mask.fault for mask in inspection.masks)
        }
        with self._runs.new(hashlib.sha256("\n".join(rows).encode()).hexdigest()) as folder:
            options = {"use_dictionary": False, "write_page_checksum": True}
            with pq.ParquetWriter(folder / TABLE, SCHEMA, **options) as file:
                for batch in _batches(iter(rows.items())):
                    file.write_batch(batch)

    def _read(self) -> dict[str, tuple[bytes, bytes, bytes | None]]:
        """Key -> facts, thumbnail, trimmed thumbnail where it differs; empty where there is none, or it is damaged."""
        folders = self._runs.folders()
        rows: dict[str, tuple[bytes, bytes, bytes | None]] = {}
        try:
            if folders:
                file = pq.ParquetFile(folders[0] / TABLE, page_checksum_verification=True)
                for batch in file.iter_batches(ROWS):
                    key, *values = (column.to_pylist() for column in batch.columns)
                    rows.update(zip(key, zip(*values, strict=True), strict=True))
        except (OSError, ValueError):  # what Arrow raises on damaged files; or another process has just removed it
            return {}
        return rows


def _key(path: str, sha256: str, masks: Sequence[MaskFile], digests: Sequence[str]) -> str:
    """`digests`: SHA-256 of the mask files. The suffix is there because it helps to tell a DICOM file."""
    parts = [f"{digest} {mask.invert} {mask.threshold}" for mask, digest in zip(masks, digests, strict=True)]
    return " ".join([sha256, PurePosixPath(path).suffix.lower(), *parts])


def _batches(rows: Iterator[tuple[str, Inspection]]) -> Iterator[pa.RecordBatch]:
    while some := list(islice(rows, ROWS)):
        keys, inspections = zip(*some, strict=True)
        facts = [_FACTS.dump_json(inspection, exclude=_PICTURES) for inspection in inspections]
        trimmed = [None if x.trimmed_thumbnail == x.thumbnail else x.trimmed_thumbnail for x in inspections]
        pictures = [inspection.thumbnail for inspection in inspections]
        yield pa.record_batch([list(keys), facts, pictures, trimmed], schema=SCHEMA)
