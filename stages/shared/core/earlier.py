"""What earlier runs of a stage computed: .lightbox/<what> of the main repository, one folder per run. A folder appears
whole or not at all, the newest KEPT stay, and nothing there is needed: what is missing is computed again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .paths import project_root

KEPT = 2
ABANDONED = 86_400  # seconds after which a run that has not finished has been killed


class EarlierRuns:
    """`conditions`: what else the results depend on, such as settings, code and versions; as JSON writes it. Runs under
    other conditions are not seen, and count among those that stay."""

    def __init__(self, what: str, conditions: object, root: Path | None = None) -> None:
        self._root = (root or project_root()) / ".lightbox" / what
        self._name = hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:16]

    def folders(self) -> list[Path]:
        """Under these conditions, the newest first."""
        return self._newest(f"{self._name}-*")

    def use(self) -> None:
        """The newest folder under these conditions counts as the newest of all."""
        for folder in self.folders()[:1]:
            os.utime(folder)

    @contextmanager
    def new(self, digest: str) -> Iterator[Path]:
        """An empty folder for the results of this run, kept on success. `digest`: of the results; a folder that has the
        same makes room, since it may be damaged."""
        folder = self._root / f"{self._name}-{digest[:16]}"
        partial = self._root / f".{folder.name}.{os.getpid()}.partial"
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed, and had the same number
        partial.mkdir(parents=True)
        try:
            yield partial
            shutil.rmtree(folder, ignore_errors=True)
            try:
                partial.rename(folder)
            except OSError:
                if not folder.exists():  # else another run has just put the same there
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        for old in self._newest("[!.]*-*")[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
        for unfinished in self._newest(".*.partial"):  # of other runs: at work, or killed long ago
            if time.time() - _modified(unfinished) > ABANDONED:
                shutil.rmtree(unfinished, ignore_errors=True)

    def _newest(self, pattern: str) -> list[Path]:
        return sorted(self._root.glob(pattern), key=_modified, reverse=True)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another run has just removed it
        return 0.0
