"""Your own images: a directory tree, or an archive of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..shared.core.errors import UserError
from ..shared.core.paths import find_input, project_root
from ..shared.images.kinds import is_clutter
from .entries import Entry, read_images
from .params import Folder
from .unpack import open_archive


@contextmanager
def members(settings: Folder, counts: dict[str, float]) -> Iterator[Iterator[tuple[str, bytes]]]:
    """(name, bytes) of every image, named as in the tree or the archive.

    Raises:
        UserError: nothing there, no image in it, unreadable, unsafe.
    """
    path = find_images(settings.path)
    where = f"download.folder.path {settings.path}"
    if path.is_dir():
        entries = sorted(walk(path), key=lambda e: e.name)
        yield guard(read_images(entries, counts, where, len(entries)))
    else:
        remedy = "Pack it again, or point download.folder.path at the unpacked folder."
        with open_archive(path, settings.limits, remedy) as (packed, total):
            yield read_images(packed, counts, where, total)


def find_images(written: str) -> Path:
    """Here, or else in the main repository: the copy that `dvc exp run --temp` works in has data/folder, but only its
    README."""
    path = find_input(written)
    if not path.is_absolute() and path.is_dir() and not has_image(path):
        path = project_root() / written
    if not path.exists():
        raise UserError(
            f"params.yaml: download.folder.path: {written!r} does not exist (looked in {Path.cwd()} and "
            f"{project_root()}). Write the path of a folder or an archive of images."
        )
    return path


def has_image(folder: Path) -> bool:
    return any(entry.is_image and not is_clutter(entry.name) for entry in walk(folder))


def walk(root: Path) -> Iterator[Entry]:
    """Every file below `root`, through links too (it is the user's own disk); a loop of links is an error."""

    def enter(folder: Path, above: frozenset[str]) -> Iterator[Entry]:
        here = os.path.realpath(folder)
        if here in above:
            raise UserError(f"{folder}: a link that leads back to a folder above it. Remove the link.")
        try:
            items = sorted(os.scandir(folder), key=lambda item: item.name)
        except OSError as error:
            raise UserError(f"{folder}: cannot be listed ({error.strerror}). Check its permissions.") from None
        for item in items:
            path = Path(item.path)
            if item.is_dir():
                yield from enter(path, above | {here})
            elif item.is_file():
                yield Entry(path.relative_to(root).as_posix(), item.stat().st_size, path.read_bytes)
            elif item.is_symlink():
                raise UserError(f"{path}: a link to nothing. Remove it, or bring back what it points to.")

    return enter(root, frozenset())


def guard(members: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """A file that cannot be read becomes a UserError that names it."""
    try:
        yield from members
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}). Check its permissions.") from None
