"""Has anything changed since the study was last brought up to date? DVC needs seconds to say that nothing has, most of
them to read params.yaml once per stage. What tells DVC that a file has changed (inode, time, size) is asked here of
every file, in a fraction of one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..shared.core.paths import find_input

STAMP = Path(".lightbox/up_to_date")
INPUTS = ("dvc.yaml", ".dvcignore", "params.yaml", "stages", "models/pretrained")
OUTPUTS = ("dvc.lock", "data", "models", "reports")


def is_up_to_date(source: str) -> bool:
    """Every file that DVC watches is as it was when `remember` was called. `source`: download.folder.path."""
    return STAMP.exists() and STAMP.read_text() == inputs(source) + digest(*OUTPUTS)


def remember(source: str) -> None:
    STAMP.parent.mkdir(exist_ok=True)
    STAMP.write_text(inputs(source) + digest(*OUTPUTS))


def inputs(source: str) -> str:
    """Changes with the files that a user edits."""
    return digest(*INPUTS, find_input(source))


def digest(*places: str | Path) -> str:
    """Of the names, inodes, times and sizes of all files there."""
    sha = hashlib.sha256()
    for path in sorted(path for place in places for path in files(Path(place))):
        with suppress(FileNotFoundError):  # an editor's lock file, or one that has just gone
            info = path.stat()
            sha.update(f"{path} {info.st_ino} {info.st_mtime_ns} {info.st_size}\n".encode(errors="surrogateescape"))
    return sha.hexdigest()


def files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    for folder, _, names in os.walk(place):
        if Path(folder).name != "__pycache__":
            yield from (Path(folder) / name for name in names)
