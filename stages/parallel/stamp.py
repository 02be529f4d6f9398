"""Has anything changed since the study was last brought up to date? DVC needs seconds to say that nothing has, most of
them to read params.yaml once per stage. What tells DVC that a file has changed (inode, time, size) is asked here of
every file, in a fraction of one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ..shared.core.paths import find_input

STAMP = Path(".lightbox/up_to_date.json")
INPUTS = ("dvc.yaml", ".dvcignore", "params.yaml", "stages", "models/pretrained")
OUTPUTS = ("dvc.lock", "data", "models", "reports")


def show_if_up_to_date() -> bool:
    """Print the leaderboard if every file that DVC watches is as it was when `remember` was called.

    Settings are neither read nor checked, for they are those that were. So nothing of that is imported.
    """
    try:
        stamp = json.loads(STAMP.read_text())
    except (FileNotFoundError, ValueError):  # ValueError: it was cut off
        return False
    if "own" not in stamp:  # of an older version
        return False
    if stamp["files"] != inputs(stamp["own"]) + digest(*OUTPUTS):
        return False
    from ..compare import show

    print(f"{stamp['models']} models and their comparison are up to date.")
    show()
    return True


def remember(own: Sequence[str], models: int) -> None:
    """`own`: the files and folders of the user that params.yaml names."""
    STAMP.parent.mkdir(exist_ok=True)
    files = inputs(own) + digest(*OUTPUTS)
    STAMP.write_text(json.dumps({"files": files, "own": list(own), "models": models}))


def inputs(own: Sequence[str]) -> str:
    """Changes with the files that a user edits."""
    return digest(*INPUTS, *map(find_input, own))


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
