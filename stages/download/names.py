"""What a folder of the user's would put into the archive, without packing it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from ..shared.images.kinds import SUFFIXES, is_clutter, is_table
from .folder import find_images, walk
from .params import Params
from .privacy import Pseudonyms, messages

NO_KEY = bytes(32)  # the names under it are compared with patterns and never written


def listing(params: Params) -> dict[str, Callable[[], bytes]] | None:
    """Name in the archive -> what reads the file; under pseudonyms names look as they will, with other digits. A file
    without a suffix counts as an image, because to look into it is to read it. None where there is no folder: of an
    archive, the names alone may mean to unpack it."""
    if params.source != "folder":
        return None
    hidden = params.privacy == "pseudonymise"
    expression = params.pseudonyms.names or ""
    pseudonyms = Pseudonyms(NO_KEY, re.compile(expression) if expression else None) if hidden else None
    with messages(pseudonyms):
        path = find_images(params.folder.path)
        if not path.is_dir():
            return None
        entries = sorted(walk(path), key=lambda entry: entry.name)
        kinds = {*SUFFIXES, ""}
        return {
            pseudonyms.path(entry.name) if pseudonyms else entry.name: entry.read
            for entry in entries
            if not is_clutter(entry.name)
            and (is_table(entry.name) or PurePosixPath(entry.name).suffix.lower() in kinds)
        }
