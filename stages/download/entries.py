"""Files on their way into data/raw.zip, whatever they come from: which of them are images, and are they sane."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..shared.core.errors import UserError
from ..shared.core.progress import progress
from ..shared.images.decode import SUFFIXES

CLUTTER = {"thumbs.db", "desktop.ini", "readme", "readme.md", "readme.txt"}
BIGGEST = 2**30  # bytes; one member is read into memory whole


@dataclass(frozen=True)
class Entry:
    """`name`: relative, with forward slashes. `read` gives all of its bytes."""

    name: str
    size: int
    read: Callable[[], bytes]


def is_image(entry: Entry) -> bool:
    """By its suffix; a file without one may be DICOM, which says so behind a preamble of 128 bytes."""
    suffix = PurePosixPath(entry.name).suffix.lower()
    return suffix in SUFFIXES or (not suffix and 132 <= entry.size <= BIGGEST and entry.read()[128:132] == b"DICM")


def is_clutter(name: str) -> bool:
    """Hidden files and what operating systems leave behind; a README that explains a folder."""
    parts = PurePosixPath(name).parts
    return any(p.startswith(".") or p == "__MACOSX" for p in parts) or parts[-1].lower() in CLUTTER


def read_images(
    entries: Iterable[Entry], counts: dict[str, float], where: str, total: int | None
) -> Iterator[tuple[str, bytes]]:
    """The images among `entries` as members; `counts` gets how many there were, and how many files were left out.

    Raises:
        UserError: no image at all, one name twice, or a file too big for an image.
    """
    left_out: Counter[str] = Counter()
    seen: set[str] = set()
    for entry in progress(entries, desc="packing images", unit="file", total=total):
        if is_clutter(entry.name):
            continue
        if not is_image(entry):
            left_out[PurePosixPath(entry.name).suffix.lower() or "no suffix"] += 1
            continue
        check(entry, seen, where)
        seen.add(entry.name)
        yield entry.name, entry.read()
    if not seen:
        raise no_image(where, left_out)
    if left_out:
        print(
            f"{where}: {len(seen)} images; left out {left_out.total()} other files ({listed(left_out)}).",
            file=sys.stderr,
        )
    counts.update(images=len(seen), left_out=left_out.total())


def check(entry: Entry, seen: set[str], where: str) -> None:
    if entry.name in seen:
        raise UserError(f"{where}: holds {entry.name!r} twice, so it is unclear which is meant. Remove one.")
    if entry.size > BIGGEST:
        raise UserError(
            f"{where}: {entry.name!r} is {entry.size / 1e9:.1f} GB, more than an image can be (1 GB). Remove it."
        )
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{where}: the file name {entry.name!r} is not valid UTF-8 and cannot go into the archive. Rename the file."
        ) from None


def no_image(where: str, left_out: Counter[str]) -> UserError:
    held = f" It holds {left_out.total()} other files ({listed(left_out)})." if left_out else ""
    return UserError(
        f"{where}: no image found.{held} Put images there ({', '.join(sorted(SUFFIXES))}), loose or in folders, or "
        "point download.folder.path elsewhere. An archive inside an archive has to be unpacked first."
    )


def listed(suffixes: Counter[str]) -> str:
    return ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5))
