"""Where an interrupted training waits. DVC deletes a stage's outs before it runs, so checkpoints lie outside them, in
the main repository, under a name that changes with anything the training depends on."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ...shared.core.files import sha256
from ...shared.core.paths import Key, project_root
from ...shared.core.process import is_main
from ..params import Params
from ..start.sources import weights_file

CODE = Path(__file__).parents[2]


def name_of(key: Key, params: Params, data: str) -> str:
    """A digest of key, params, data, the weights file it starts from, and the code that trains."""
    start = weights_file(params.backbone) if params.strategy.plan != "from_scratch" else None
    told = [str(key), params.model_dump(mode="json"), data, sha256(start) if start and start.is_file() else None]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for path in sorted(
        [
            *(CODE / "train").rglob("*.py"),
            *(CODE / "shared").rglob("*.py"),
        ]
    ):
        digest.update(path.read_bytes())
    return f"{key}-{digest.hexdigest()[:16]}"


@contextmanager
def checkpoints(name: str) -> Iterator[Path]:
    """The folder of this training's checkpoints, alone to us. It stays until `discard`.

    Two queued experiments may need the very same model at once: the second waits.
    """
    folder = project_root() / ".lightbox" / "checkpoints" / name
    folder.mkdir(parents=True, exist_ok=True)
    if not is_main():  # the first process of this training holds the lock for all
        yield folder
        return
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{name}: another process is training this very model; waiting for it.", file=sys.stderr)
        lock.acquire()
    try:
        folder.mkdir(exist_ok=True)
        yield folder
    finally:
        lock.release()


def discard(name: str) -> None:
    """Delete a training's checkpoints, unless somebody else who needed the same model already has."""
    with checkpoints(name) as folder:
        shutil.rmtree(folder)
