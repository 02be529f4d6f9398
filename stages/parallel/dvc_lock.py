"""The file in which DVC notes what runs."""

from __future__ import annotations

import json
import time

from ..shared.core.errors import UserError
from ..shared.core.paths import project_root

WRITING = 1.0  # seconds, more than DVC needs to write it


def check() -> None:
    """Raises UserError when the file in which DVC notes what runs was cut off: every DVC command would stop there."""
    path = project_root() / ".dvc/tmp/rwlock"
    for seconds in (WRITING, 0.0):
        try:
            json.loads(path.read_text() if path.exists() else "{}")
            return
        except ValueError:
            time.sleep(seconds)  # DVC may be writing it
    raise UserError(
        f"{path}: damaged: a DVC process was killed while it wrote the file. When no other DVC runs here, delete "
        "the file and run this again; nothing is lost."
    )
