"""The images and the tables among the files of a source -> data/raw.zip."""

from __future__ import annotations

import errno
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ..shared.core.errors import UserError
from ..shared.core.paths import PARAMS, RAW
from ..shared.core.progress import progress
from ..shared.images.archive import write_archive
from ..shared.images.kinds import SUFFIXES, is_clutter, is_dicom, is_image, is_table
from . import dicom, tables
from .privacy import NAMES, NamelessError, Pseudonyms, named_in, write_names

BIGGEST = 2**30  # bytes; one file is read into memory whole
LONGEST = 2**16 - 1  # bytes of a name in a zip archive
DECEIVING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Signs that break a line, steer a terminal, or show the letters behind them in another order."""


@dataclass(frozen=True)
class Entry:
    """A file of a source. `name`: relative, with forward slashes. `read` returns all of its bytes."""

    name: str
    size: int
    read: Callable[[], bytes]

    @property
    def is_image(self) -> bool:
        return is_image(self.name, lambda: self.read() if self.size <= BIGGEST else b"")


@dataclass(frozen=True)
class Rules:
    """What happens to files on their way into the archive. `pseudonyms`: None where names and headers stay as they are.
    `columns`: of tables, those that identify nobody. `frames`: of a DICOM file of several."""

    pseudonyms: Pseudonyms | None = None
    columns: frozenset[str] = frozenset()
    frames: dicom.Rule = "first"


@dataclass
class Packed:
    """What has been seen so far. `names`: that of each image and table in the archive -> that at the source."""

    names: dict[str, str] = field(default_factory=dict)
    new_names: dict[str, str] = field(default_factory=dict)
    """What each image would be called without pseudonyms -> its name in the archive."""
    sources: set[str] = field(default_factory=set)
    tables: dict[str, bytes] = field(default_factory=dict)
    images: int = 0
    headers: list[str] = field(default_factory=list)
    """DICOM files that go into the archive with their headers."""
    unreadable: int = 0
    """DICOM files whose headers could not be read, so that their contents were left out."""
    undivided: list[str] = field(default_factory=list)
    """DICOM files whose frames could not be told apart, and that went into the archive as they are."""
    cleared: Counter[str] = field(default_factory=Counter)
    """Attributes of DICOM headers that had an unusual form, and how often each was removed."""
    unmatched: int = 0
    """Images whose names the expression of the pseudonyms does not match."""
    others: Counter[str] = field(default_factory=Counter)
    """Files that are neither images nor tables, by suffix."""


def pack_images(entries: Iterable[Entry], where: str, total: int | None, rules: Rules) -> dict[str, float]:
    """Write the images among `entries` to data/raw.zip, and tables that may say what they show; returns how many
    images, tables and other files there are. The archive lists its members in the order of their names at the
    source, whatever they are called now: so the split does not depend on pseudonyms.

    Raises:
        UserError: there is no image, a name appears twice or cannot be used, a file is too big for an image, or under
            pseudonyms something still tells who a patient is.
    """
    packed = Packed()
    write_archive(RAW, _members(entries, where, total, rules, packed), lambda name: (packed.names[name], name))
    if rules.pseudonyms:
        write_names(packed.names)
    for line in _remarks(packed, where, rules):
        print(line, file=sys.stderr)
    tables = len(packed.names) - packed.images
    return {"images": packed.images, "tables": tables, "left_out": packed.others.total()}


def _members(
    entries: Iterable[Entry], where: str, total: int | None, rules: Rules, packed: Packed
) -> Iterator[tuple[str, bytes]]:
    for entry in progress(entries, desc="packing images", unit="files", total=total):
        if is_clutter(entry.name):
            continue
        if is_table(entry.name):
            check(entry, packed, where)
            packed.tables[entry.name] = entry.read()
        elif entry.is_image:
            check(entry, packed, where)
            name = rules.pseudonyms.path(entry.name) if rules.pseudonyms else entry.name
            packed.unmatched += rules.pseudonyms is not None and name == entry.name
            for frame, data in _images(entry, name, rules, packed):
                packed.images += 1
                own = _registered(dicom.frame_name(name, frame), entry.name, packed, where)
                packed.new_names[dicom.frame_name(entry.name, frame)] = own
                yield own, data
        else:
            packed.others[PurePosixPath(entry.name).suffix.lower() or "no suffix"] += 1
    if not packed.images:  # raised here, so that no archive is written
        raise NamelessError(
            f"{where}: no image found.{f' It has {_others(packed, rules)}.' if packed.others else ''} Images are files "
            f"that end in {', '.join(sorted(SUFFIXES))}, and DICOM files without a suffix, in any folder. If they are "
            "in an archive of their own, unpack it and point download.folder.path at the folder."
        )
    if packed.unmatched and rules.pseudonyms and rules.pseudonyms.expression:
        raise NamelessError(
            f"{PARAMS}: download.pseudonyms.names: {rules.pseudonyms.expression.pattern!r} matches nothing in "
            f"{packed.unmatched:,} of {packed.images:,} paths, so these may still tell who the patient is. Make it "
            "match every path, e.g. with another part behind |."
        )
    yield from _tables(rules, packed, where)


def _images(entry: Entry, name: str, rules: Rules, packed: Packed) -> Iterator[tuple[int | None, bytes]]:
    """The images of one file, each with the number of its frame (`dicom.chosen`). `name`: the file's in the archive."""
    data = entry.read()
    if not dicom.counts_as_dicom(data, entry.name) or (rules.pseudonyms is None and rules.frames == "first"):
        if is_dicom(data):
            packed.headers.append(entry.name)
        yield None, data
        return
    dataset = dicom.read(data)
    if dataset is None:
        packed.unreadable += rules.pseudonyms is not None
        yield None, dicom.UNREADABLE if rules.pseudonyms else data
        return
    if rules.pseudonyms is None:
        packed.headers.append(entry.name)
    elif named_in(name, dicom.identifiers(dataset)):
        raise UserError(
            f"{entry.name}: under pseudonyms its name is {name}, which still has the patient's name, id or date of its "
            "DICOM header. Make download.pseudonyms.names match that part too."
        )
    try:
        images: list[tuple[int | None, bytes]] = []
        for frame, image in dicom.chosen(dataset, rules.frames):
            if rules.pseudonyms:
                packed.cleared.update(dicom.strip(image, rules.pseudonyms))
            images.append((frame, data if image is dataset and not rules.pseudonyms else dicom.write(image)))
    except Exception:  # pydicom raises nearly anything on damaged bytes; validate says what is wrong with the file
        if rules.pseudonyms:
            packed.unreadable += 1
        else:
            packed.undivided.append(entry.name)
        images = [(None, dicom.UNREADABLE if rules.pseudonyms else data)]
    yield from images


def _tables(rules: Rules, packed: Packed, where: str) -> Iterator[tuple[str, bytes]]:
    """Under pseudonyms, only where params say which of their columns identify nobody."""
    for source, data in packed.tables.items():
        if rules.pseudonyms is None:
            yield _registered(source, source, packed, where), data
        elif rules.columns:
            rewritten = tables.pseudonymised(data, source, rules.columns, packed.new_names, rules.pseudonyms)
            yield _registered(rules.pseudonyms.path(source), source, packed, where), rewritten
        else:
            packed.others[PurePosixPath(source).suffix.lower()] += 1


def _registered(name: str, source: str, packed: Packed, where: str) -> str:
    if name in packed.names:
        raise UserError(
            f"{where}: {packed.names[name]!r} and {source!r} would both be called {name!r} in the archive. Rename one."
        )
    packed.names[name] = source
    return name


def _remarks(packed: Packed, where: str, rules: Rules) -> Iterator[str]:
    if packed.others:
        tables = len(packed.names) - packed.images
        kinds = f"{packed.images} images{f' and {tables} tables' * bool(tables)}"
        yield f"{where}: {kinds}; left out {_others(packed, rules)}."
    if packed.headers:
        yield (
            f"{where}: {len(packed.headers)} DICOM files, for example {packed.headers[0]!r}. Their headers may name "
            "patients and dates. They go whole into data/raw.zip, DVC's cache and every remote you push to. To remove "
            "personal data, set download.privacy to pseudonymise."
        )
    if packed.cleared:
        counts = ", ".join(f"{keyword} in {count:,}" for keyword, count in sorted(packed.cleared.items()))
        yield (
            f"{where}: removed from DICOM headers, because free text may name a patient: {counts}. A short "
            "code stays, or for the device a short name without long numbers."
        )
    if packed.undivided:
        yield (
            f"{where}: the frames of {len(packed.undivided)} DICOM files cannot be told apart, for example "
            f"{packed.undivided[0]!r}. They went into data/raw.zip as they are."
        )
    if packed.unreadable:
        yield (
            f"{where}: {packed.unreadable} DICOM files cannot be read. Their headers may name patients, so only "
            f"empty files went into data/raw.zip; validate will call these unreadable. {NAMES} says which they are."
        )


def _others(packed: Packed, rules: Rules) -> str:
    """Under pseudonyms without their suffixes: behind the last dot of a name may stand anything."""
    number = packed.others.total()
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in packed.others.most_common(5))
    return f"{number} other file{'s' * (number > 1)}" + (f" ({kinds})" if rules.pseudonyms is None else "")


def check(entry: Entry, packed: Packed, where: str) -> None:
    """Raises UserError for a file that cannot go into the archive, or whose name would deceive whoever reads it."""
    composed = unicodedata.normalize("NFC", entry.name)
    if composed in packed.sources:
        raise UserError(
            f"{where}: has {entry.name!r} twice, so it is unclear which is meant (é may be one letter or e and an "
            "accent: that makes no difference here). Remove or rename one."
        )
    packed.sources.add(composed)
    deceiving = DECEIVING.search(entry.name)
    if deceiving:
        raise UserError(
            f"{where}: the file name {entry.name[:200]!a} has {deceiving[0]!a}, a sign that breaks lines or shows the "
            "others in another order. Rename the file."
        )
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
