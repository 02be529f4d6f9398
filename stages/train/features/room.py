"""Room for the cache: within its own limit, and on the disk."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from .entry import INFO, Entry, remove, used

GB = 10**9
SPARE = GB // 4  # bytes of the disk left to others, checkpoints first


class NoRoom(Exception):
    """Why the features cannot be kept: a sentence to print."""


def make_room(root: Path, entries: Mapping[Entry, int], max_gb: float) -> None:
    """Room for so many rows of each entry: deletes entries that nobody holds, the least recently used first, and notes
    what it promises. One process at a time.

    Raises:
        NoRoom: the entries alone, or with those that others hold, are more than `max_gb` or than the disk has free.
    """
    need = sum(entry.need(rows) for entry, rows in entries.items())
    if need > max_gb * GB:
        raise NoRoom(f"needs {shown(need)} of cache.max_gb: {max_gb:g}")
    present = sum(sum(path.stat().st_blocks for path in entry.folder.iterdir()) * 512 for entry in entries)
    own = {entry.folder for entry in entries}
    others = [folder for folder in root.iterdir() if folder.is_dir() and folder not in own]
    sizes = {folder: used(folder) for folder in others}
    for folder in sorted(others, key=last_use):
        if fits(root, need, present, sum(sizes.values()), max_gb) is None:
            break
        if remove(folder):
            print(f"cache: deleted {shown(sizes.pop(folder))} of features not used lately.", file=sys.stderr)
    if reason := fits(root, need, present, sum(sizes.values()), max_gb):
        raise NoRoom(reason)
    for entry, rows in entries.items():
        entry.promise(rows)


def fits(root: Path, need: int, present: int, others: int, max_gb: float) -> str | None:
    """None, or why not. need: bytes in all; present: those of them that are there; others: bytes of other entries."""
    if need + others > max_gb * GB:
        return f"needs {shown(need)} of cache.max_gb: {max_gb:g}, and running trainings hold {shown(others)}"
    free = shutil.disk_usage(root).free - SPARE
    if need - present > free:
        return f"needs {shown(need - present)}, and the disk has {shown(max(0, free))} to spare ({root})"
    return None


def last_use(folder: Path) -> float:
    info = folder / INFO
    return info.stat().st_mtime if info.exists() else 0.0


def shown(size: int) -> str:
    return f"{size / GB:.2g} GB" if size >= GB else f"{size / 10**6:,.0f} MB"
