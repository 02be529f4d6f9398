"""A digest of source code: it changes with what the code does, not with comments, docstrings or layout."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

STAGES = Path(__file__).parents[2]


def digest_of(*places: str, without: Iterable[str] = (), root: Path = STAGES) -> str:
    """SHA-256 of the Python files at `places`: files or folders under `root`, such as "train/plan".

    `without`: files or folders among them that do not count.

    Raises:
        FileNotFoundError: there is no such file or folder.
    """
    digest = hashlib.sha256()
    ignored = {path for place in without for path in files_of(root / place)}
    for path in sorted({path for place in places for path in files_of(root / place)} - ignored):
        digest.update(f"{path.relative_to(root).as_posix()} {statements(path.read_bytes())}\n".encode())
    return digest.hexdigest()


def files_of(place: Path) -> list[Path]:
    """A file itself, or all Python files below a folder."""
    if not place.exists():
        raise FileNotFoundError(f"{place}: no such code")
    return list(place.rglob("*.py")) if place.is_dir() else [place]


@cache  # many trainings in one process ask for the same
def statements(source: bytes) -> str:
    """The syntax tree without strings that stand alone: docstrings, of modules, functions, classes and attributes."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name, body in ast.iter_fields(node):
            if isinstance(body, list):
                setattr(node, name, [item for item in body if not is_docstring(item)])
    return ast.dump(tree)


def is_docstring(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
