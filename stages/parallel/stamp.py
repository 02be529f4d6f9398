"""Has anything changed since the study was last brought up to date? DVC needs seconds to say that nothing has, most of
them to read params.yaml once per stage; the times and sizes of all files need a fraction of one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..shared.core.paths import find_input

STAMP = Path(".lightbox/up_to_date")
INPUTS = ("dvc.yaml", "params.yaml", "stages", "models/pretrained")
OUTPUTS = ("dvc.lock", "data", "models", "reports")


def is_up_to_date(raw: Mapping[str, Any]) -> bool:
    """Every file that DVC watches is as it was when `remember` was called."""
    return STAMP.exists() and STAMP.read_text() == inputs(raw) + digest(*OUTPUTS)


def remember(raw: Mapping[str, Any]) -> None:
    STAMP.parent.mkdir(exist_ok=True)
    STAMP.write_text(inputs(raw) + digest(*OUTPUTS))


def inputs(raw: Mapping[str, Any]) -> str:
    """Changes with the files that a user edits."""
    return digest(*INPUTS, find_input(raw["download"]["folder"]["path"]))


def digest(*places: str | Path) -> str:
    """Of the names, times and sizes of all files there."""
    sha = hashlib.sha256()
    for path in sorted(path for place in places for path in files(Path(place))):
        info = path.stat()
        sha.update(f"{path} {info.st_mtime_ns} {info.st_size}\n".encode())
    return sha.hexdigest()


def files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    for folder, _, names in os.walk(place):
        if Path(folder).name != "__pycache__":
            yield from (Path(folder) / name for name in names)
