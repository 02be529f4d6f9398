"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import UserError


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it there on success, remove it on any failure.

    Raises:
        UserError: the disk is full; `path` is as it was before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise disk_full(path, error) or error from error
    finally:
        partial.unlink(missing_ok=True)


class DiskFull(UserError):
    """Names files of this project alone."""


def disk_full(path: Path, error: OSError) -> DiskFull | None:
    """The user's version of ENOSPC and EDQUOT; None for any other error."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    folder = path if path.is_dir() else path.parent
    free = shutil.disk_usage(folder).free / 2**20
    return DiskFull(
        f"{path}: the disk is full ({free:,.0f} MiB free in {folder.resolve()}). Nothing was half-written. "
        "Free some space (`dvc gc --workspace` drops cached files that nothing uses) and run `dvc repro` again; "
        "it goes on from here."
    )


def write_json(path: Path | str, value: Any) -> None:
    """Deterministic: sorted keys, two-space indent, a newline at the end; NaN is refused."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def finite(value: float | None) -> float | None:
    """For JSON, which knows neither NaN nor infinity."""
    return None if value is None or not math.isfinite(value) else float(value)


def read_json(path: Path | str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(path: Path | str) -> str:
    """Of the file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
