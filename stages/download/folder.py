"""Your own images: a directory tree, or an archive of one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

from ..shared.core.errors import UserError
from ..shared.core.paths import find_input, project_root
from ..shared.images.kinds import is_clutter
from .entries import Entry, Rules, pack_images, unreadable
from .params import Folder
from .privacy import NamelessError, messages
from .unpack import open_archive


def pack(settings: Folder, rules: Rules) -> dict[str, float]:
    """Write data/raw.zip, with names as in the tree or the archive; returns counts.

    Raises:
        UserError: the path does not exist, has no image, cannot be read, or is an unsafe archive.
    """
    where = f"download.folder.path {settings.path}"
    with messages(rules.pseudonyms):
        path = find_images(settings.path)
        if path.is_dir():
            warn_of_links(path, where)
            entries = sorted(walk(path), key=lambda entry: entry.name)
            return pack_images(entries, where, len(entries), rules)
        remedy = "Pack it again, or point download.folder.path at the unpacked folder."
        with open_archive(path, settings.limits, remedy) as (archived, total):
            return pack_images(archived, where, total, rules)


def find_images(setting: str) -> Path:
    """Looked for here, then in the main repository: the copy in which `dvc exp run --temp` works has only the README of
    data/folder."""
    path = find_input(setting)
    if not path.is_absolute() and path.is_dir() and not any(e.is_image and not is_clutter(e.name) for e in walk(path)):
        path = project_root() / setting
    if not path.exists():
        raise NamelessError(
            f"params.yaml: download.folder.path: {setting!r} does not exist (looked in {Path.cwd()} and "
            f"{project_root()}). Write the path of a folder or an archive of images."
        )
    return path


def warn_of_links(root: Path, where: str) -> None:
    """Images behind a linked folder are packed, but DVC compares the link itself: it does not see when they change.
    Names nothing: a folder may be called as a patient is."""
    links = sum(Path(name, each).is_symlink() for name, folders, _ in os.walk(root) for each in folders)
    if links:
        print(
            f"{where}: {links} folder{'s are links' if links > 1 else ' is a link'}. DVC does not see changes behind a "
            f"link: after one, run `dvc repro -f download`, or put the folders themselves there. `find {root} -type l` "
            "lists the links.",
            file=sys.stderr,
        )


def walk(root: Path) -> Iterator[Entry]:
    """Every file below `root`, through links too (it is the user's own disk); a loop of links is an error."""
    for name, _, files in os.walk(root, onerror=refuse, followlinks=True):
        folder = Path(name)
        if any(folder.samefile(parent) for parent in folder.parents if parent.is_relative_to(root)):
            raise UserError(f"{folder}: a link that leads back to a folder above it. Remove the link.")
        for path in map(folder.joinpath, files):
            if path.is_file():
                yield Entry(path.relative_to(root).as_posix(), path.stat().st_size, partial(read, path))
            elif path.is_symlink() and not path.exists():
                raise UserError(f"{path}: a link to nothing. Remove it, or bring back what it points to.")


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        refuse(error)


def refuse(error: OSError) -> NoReturn:
    raise unreadable(error) from None
