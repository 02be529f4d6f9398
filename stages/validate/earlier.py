"""Inspections of earlier runs: a file whose bytes and masks, and the settings, code and libraries, are the same is not
decoded again. Its bytes are read all the same, because only their SHA-256 proves that they are what was inspected: the
archive's own checksum is 32 bits that anybody can match, and reading takes a fortieth of the time of an inspection.

Kept as EarlierRuns keeps them, in one table with checksums of its pages. What could not be read is inspected again:
tomorrow its decoder may be installed.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from ..shared.core.code import digest_of
from ..shared.core.earlier import EarlierRuns
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
SCHEMA = pa.schema([
    ("key", pa.string()), ("facts", pa.binary()), ("thumbnail", pa.binary()), ("trimmed_thumbnail", pa.binary()),
])  # fmt: skip
Row = tuple[bytes, bytes, bytes | None]
"""Of SCHEMA without the key; the trimmed thumbnail only where it differs."""
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
        # one after the other: to hand a small file to a thread takes twice as long as its digest
        return [self._of(archive, path, own) for path, own in zip(paths, masks, strict=True)]

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
        keyed = {
            _key(path, inspection.sha256, files, [mask.sha256 for mask in inspection.masks]): inspection
            for path, files, inspection in zip(paths, masks, inspections, strict=True)
            if inspection.fault is None and not any(mask.fault for mask in inspection.masks)
        }
        rows = {key: self._known.get(key) or _row(inspection) for key, inspection in keyed.items()}
        with self._runs.new(hashlib.sha256("\n".join(rows).encode()).hexdigest()) as folder:
            options = {"use_dictionary": False, "write_page_checksum": True}
            with pq.ParquetWriter(folder / TABLE, SCHEMA, **options) as file:
                for batch in _batches(iter(rows.items())):
                    file.write_batch(batch)

    def use(self) -> None:
        """Nothing is new: what was found counts as the newest, so that it stays."""
        self._runs.use()

    def _read(self) -> dict[str, Row]:
        """Key -> facts, thumbnail, trimmed thumbnail where it differs; empty where there is none, or it is damaged."""
        folders = self._runs.folders()
        rows: dict[str, Row] = {}
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
    return " ".join([sha256, posixpath.splitext(path)[1].lower(), *parts])


def _row(inspection: Inspection) -> Row:
    facts = _FACTS.dump_json(inspection, exclude=_PICTURES)
    thumbnail, trimmed = inspection.thumbnail or b"", inspection.trimmed_thumbnail
    return facts, thumbnail, None if trimmed == thumbnail else trimmed


def _batches(rows: Iterator[tuple[str, Row]]) -> Iterator[pa.RecordBatch]:
    while some := list(islice(rows, ROWS)):
        keys, values = zip(*some, strict=True)
        yield pa.record_batch([list(keys), *map(list, zip(*values, strict=True))], schema=SCHEMA)
