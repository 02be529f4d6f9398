"""Files on their way into data/raw.zip, whatever they come from: are they images, and are they sane."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..shared.core.errors import UserError
from ..shared.core.progress import progress
from ..shared.images.kinds import SUFFIXES, is_clutter, is_image

BIGGEST = 2**30  # bytes; one member is read into memory whole


@dataclass(frozen=True)
class Entry:
    """`name`: relative, with forward slashes. `read` gives all of its bytes."""

    name: str
    size: int
    read: Callable[[], bytes]

    @property
    def is_image(self) -> bool:
        return is_image(self.name, lambda: self.read() if self.size <= BIGGEST else b"")


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
        if not entry.is_image:
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
        raise UserError(f"{where}: has {entry.name!r} twice, so it is unclear which is meant. Remove one.")
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
    others = f" It has {left_out.total()} other files ({listed(left_out)})." if left_out else ""
    return UserError(
        f"{where}: no image found.{others} Put images there ({', '.join(sorted(SUFFIXES))}), loose or in folders, or "
        "point download.folder.path elsewhere. An archive inside an archive has to be unpacked first."
    )


def listed(suffixes: Counter[str]) -> str:
    return ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5))
