"""The images among the files of a source -> data/raw.zip."""

from __future__ import annotations

import errno
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..shared.core.errors import UserError
from ..shared.core.paths import RAW
from ..shared.core.progress import progress
from ..shared.images.archive import write_archive
from ..shared.images.kinds import SUFFIXES, is_clutter, is_dicom, is_image

BIGGEST = 2**30  # bytes; one file is read into memory whole
LONGEST = 2**16 - 1  # bytes of a name in a zip archive


@dataclass(frozen=True)
class Entry:
    """A file of a source. `name`: relative, with forward slashes. `read` returns all of its bytes."""

    name: str
    size: int
    read: Callable[[], bytes]

    @property
    def is_image(self) -> bool:
        return is_image(self.name, lambda: self.read() if self.size <= BIGGEST else b"")


def pack_images(entries: Iterable[Entry], where: str, total: int | None) -> dict[str, float]:
    """Write the images among `entries` to data/raw.zip; returns how many there are, and how many other files.

    Raises:
        UserError: there is no image, a name appears twice, or a file is too big for an image.
    """
    names: set[str] = set()
    dicom: list[str] = []
    suffixes: Counter[str] = Counter()  # of the files that are no images

    def others() -> str:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5))
        return f"{suffixes.total()} other file{'s' * (suffixes.total() > 1)} ({kinds})"

    def images() -> Iterator[tuple[str, bytes]]:
        for entry in progress(entries, desc="packing images", unit="files", total=total):
            if is_clutter(entry.name):
                continue
            if entry.is_image:
                check(entry, names, where)
                names.add(entry.name)
                data = entry.read()
                if is_dicom(data):
                    dicom.append(entry.name)
                yield entry.name, data
            else:
                suffixes[PurePosixPath(entry.name).suffix.lower() or "no suffix"] += 1
        if not names:  # raised here, so that no archive is written
            raise UserError(
                f"{where}: no image found.{f' It has {others()}.' if suffixes else ''} Images are files that end in "
                f"{', '.join(sorted(SUFFIXES))}, and DICOM files without a suffix, in any folder. If they are in an "
                "archive of their own, unpack it and point download.folder.path at the folder."
            )

    write_archive(RAW, images())
    if suffixes:
        print(f"{where}: {len(names)} images; left out {others()}.", file=sys.stderr)
    if dicom:
        print(
            f"{where}: {len(dicom)} DICOM files, for example {dicom[0]!r}. Their headers may name patients and dates. "
            "They go whole into data/raw.zip, DVC's cache and every remote you push to: remove personal data first.",
            file=sys.stderr,
        )
    return {"images": len(names), "left_out": suffixes.total()}


def check(entry: Entry, names: set[str], where: str) -> None:
    if entry.name in names:
        raise UserError(f"{where}: has {entry.name!r} twice, so it is unclear which is meant. Remove one.")
    if entry.size > BIGGEST:
        size = f"{entry.size / 1e9:.1f} GB"
        raise UserError(f"{where}: {entry.name!r} is {size}, more than an image can be (1 GB). Remove it.")
    try:
        length = len(entry.name.encode())
    except UnicodeEncodeError:
        raise UserError(
            f"{where}: the file name {entry.name!r} is not valid UTF-8 and cannot go into the archive. Rename the file."
        ) from None
    if length > LONGEST:
        raise UserError(
            f"{where}: the file name {entry.name[:60]!r}… has {length} bytes, more than {LONGEST}. Rename it."
        )


def unreadable(error: OSError) -> UserError:
    """The user's version of an error of the disk at a file or a folder."""
    remedies = {
        errno.ENOENT: "It vanished meanwhile. Move or delete nothing there, and run `dvc repro` again.",
        errno.EACCES: "Check its permissions.",
        errno.EPERM: "Check its permissions.",
    }
    remedy = remedies.get(error.errno or 0, "Check the disk that it lies on, then run `dvc repro` again.")
    return UserError(f"{error.filename}: cannot be read ({error.strerror}). {remedy}")
