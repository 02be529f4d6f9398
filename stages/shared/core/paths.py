"""Where the files between stages lie. Paths are relative to the working directory, which DVC sets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PARAMS = Path("params.yaml")
RAW = Path("data/raw.zip")
MANIFEST = Path("data/manifest.parquet")
PROCESSED = Path("data/processed")
VALIDATION = Path("reports/validate/validation.json")
SHORTCUTS = Path("reports/validate/shortcuts")


@dataclass(frozen=True, order=True)
class Key:
    """One member of the matrix."""

    backbone: str
    strategy: str
    sample: str

    def __str__(self) -> str:
        return f"{self.backbone}-{self.strategy}-{self.sample}"


def model_dir(key: Key) -> Path:
    return Path("models") / str(key)


def report_dir(stage: str, key: Key | None = None) -> Path:
    return Path("reports") / stage / (str(key) if key else "")


def project_root() -> Path:
    """The main repository. `dvc exp run --temp` and `--queue` run in a copy of it with tracked files only."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def find_input(path: Path | str) -> Path:
    """A file or folder that the user named, looked for here and then in the main repository."""
    here = Path(path).expanduser()
    return here if here.exists() or here.is_absolute() else project_root() / here
