"""Rows of earlier runs: an image whose bytes and masks, and the steps, code and libraries, are the same is copied, not
computed again. With a few new images in a large set, only those are decoded.

Kept as EarlierRuns keeps them: hard links to the arrays of data/processed, which take no room of their own as long as
those are there, and rows.parquet, which says what each row is. A row that was changed on the disk since does not match
its digest and is computed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipInfo

import numpy as np
import pandas as pd

from ..shared.arrays.masks import MaskFile
from ..shared.arrays.preprocessing import Prepared, PreprocessSpec
from ..shared.core.code import digest_of
from ..shared.core.earlier import EarlierRuns
from ..shared.core.errors import UserError
from ..shared.images.archive import Archive

CODE = ("preprocess/arrays.py", "preprocess/earlier.py", "shared/arrays", "shared/images")
LIBRARIES = ("albumentations", "numpy", "opencv-python-headless", "pillow", "pydicom")
ARRAYS = ("images.npy", "masks.npy", "masks_original.zip")
TABLE = "rows.parquet"


@dataclass(frozen=True)
class Row:
    """What is written of one image. original_mask: where it is annotated, the class numbers in its own size, as PNG.
    digest: SHA-256 of all of it."""

    prepared: Prepared
    original_mask: bytes
    digest: str

    @classmethod
    def of(cls, prepared: Prepared, original_mask: bytes = b"") -> Row:
        sha256 = hashlib.sha256(np.ascontiguousarray(prepared.image).data)
        if prepared.mask is not None:
            sha256.update(np.ascontiguousarray(prepared.mask).data)
            sha256.update(original_mask)
        return cls(prepared, original_mask, sha256.hexdigest())


@dataclass
class Table:
    """Of the rows that were written, in their order."""

    key: list[str] = field(default_factory=list)
    digest: list[str] = field(default_factory=list)
    notes: list[tuple[tuple[str, str], ...]] = field(default_factory=list)

    def append(self, key: str, row: Row) -> None:
        self.key.append(key)
        self.digest.append(row.digest)
        self.notes.append(row.prepared.notes)

    @property
    def sha256(self) -> str:
        """Of all rows, in their order."""
        return hashlib.sha256("".join(self.digest).encode()).hexdigest()

    def write(self, path: Path) -> None:
        notes = [json.dumps(own) for own in self.notes]
        pd.DataFrame({"key": self.key, "digest": self.digest, "notes": notes}).to_parquet(path, index=False)


class Run:
    """The folder of one earlier run."""

    def __init__(self, folder: Path) -> None:
        table = pd.read_parquet(folder / TABLE)
        self._place = dict(zip(table["key"], range(len(table)), strict=True))
        self._digest, self._notes = table["digest"].tolist(), table["notes"].tolist()
        self._images = np.asarray(np.load(folder / "images.npy", mmap_mode="r"))
        masked = (folder / "masks.npy").exists()
        self._masks = np.asarray(np.load(folder / "masks.npy", mmap_mode="r")) if masked else None
        self._originals = Archive(folder / "masks_original.zip", "preprocess") if masked else None

    def row(self, key: str, annotated: bool) -> Row | None:
        """Views of the arrays on the disk; None where it is not there, or was changed since."""
        if (place := self._place.get(key)) is None:
            return None
        notes = tuple((step, reason) for step, reason in json.loads(self._notes[place]))
        mask, original = None, b""
        if annotated:
            if self._masks is None or self._originals is None:
                return None
            try:
                mask, original = self._masks[place], self._originals.read(f"{place}.png")
            except UserError:
                return None
        row = Row.of(Prepared(self._images[place], mask, notes), original)
        return row if row.digest == self._digest[place] else None


class Earlier:
    """All earlier runs with this spec, code and libraries; the newest first."""

    def __init__(self, spec: PreprocessSpec) -> None:
        libraries = [version(name) for name in LIBRARIES]
        self._runs = EarlierRuns("rows", [spec.model_dump(mode="json"), digest_of(*CODE), libraries])
        self._opened = [run for folder in self._runs.folders() if (run := _opened(folder))]

    def row(self, key: str, annotated: bool) -> Row | None:
        """None where no run has it as it was written."""
        return next((row for run in self._opened if (row := run.row(key, annotated))), None)

    def keep(self, arrays: Path, table: Table) -> None:
        """Link the arrays of this run."""
        with self._runs.new(table.sha256) as folder:
            for name in ARRAYS:
                if (arrays / name).exists():
                    _link(arrays / name, folder / name)
            table.write(folder / TABLE)


def key_of(sha256: str, info: ZipInfo, files: Sequence[MaskFile], contents: Sequence[bytes]) -> str:
    """What a row depends on beside the steps. `sha256`: of the image, as the manifest has it; the checksum of the
    archive stands beside it, should the manifest be of another one. `contents`: of its mask files."""
    masks = [
        (hashlib.sha256(data).hexdigest(), file.number, file.invert, file.threshold)
        for file, data in zip(files, contents, strict=True)
    ]
    return f"{sha256} {info.CRC:08x} {info.file_size} {masks or ''}"


def _opened(folder: Path) -> Run | None:
    """None where another process has just removed it, or it is damaged."""
    try:
        return Run(folder)
    except (OSError, ValueError, KeyError):
        return None


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
