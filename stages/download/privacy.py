"""Names, ids and dates of patients -> pseudonyms by a keyed hash, and messages that name nobody.

Whoever has the key can tell whether a pseudonym is that of a given name; nobody else can. So the key, the list of which
file got which name, and messages about files by their own names lie in .lightbox, which git and DVC ignore.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import os
import re
import secrets
import traceback
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..shared.core.errors import UserError
from ..shared.core.files import DiskFull, disk_full
from ..shared.core.paths import PARAMS, RAW, project_root
from ..shared.core.time_limit import time_limit
from ..shared.images.kinds import SUFFIXES, TABLES

PRIVATE = Path(".lightbox")
KEY, NAMES, MESSAGE = PRIVATE / "privacy.key", PRIVATE / "names.csv", PRIVATE / "download_error.txt"
VARIABLE = "LIGHTBOX_PRIVACY_KEY"
SHORTEST_KEY = 16  # characters
SECONDS = 5  # for one path; a sound expression takes microseconds
TELLING = 4  # characters: a shorter text may stand in any name by chance


class NamelessError(UserError):
    """A message without the name of a file: it can be shown."""


@dataclass(frozen=True)
class Pseudonyms:
    """`expression`: what in a path tells who the patient is; None: nothing does."""

    key: bytes
    expression: re.Pattern[str] | None

    def of(self, value: str, kind: str = "id") -> str:
        """`kind`-<16 hexadecimal digits>. The same value has the same digits wherever it stands."""
        plain = unicodedata.normalize("NFC", value).strip().encode("utf-8", "surrogatepass")
        return f"{kind}-{hashlib.blake2b(plain, key=self.key, digest_size=8).hexdigest()}"

    def path(self, name: str) -> str:
        """`name` with a pseudonym for each match of the expression, or for each of its groups where it has any: a group
        of a name, (?P<patient>…), is called so. The suffix stays.

        Raises:
            NamelessError: the expression takes a slash, so folders would be lost, or for ever.
        """
        if self.expression is None:
            return name
        suffix = PurePosixPath(name).suffix
        suffix = suffix if suffix.lower() in {*SUFFIXES, *TABLES} else ""
        stem, parts, end = name.removesuffix(suffix), list[str](), 0
        endless = NamelessError(
            f"{PARAMS}: download.pseudonyms.names: {self.expression.pattern!r} is not done with one path after "
            f"{SECONDS} s. Nested repeats, as in (a+)+, try every way to divide a path: repeat only one of them."
        )
        with time_limit(SECONDS, endless):
            spans = list(self._spans(stem))
        for start, stop, kind in spans:
            if start < end:  # a group within a group
                continue
            if "/" in stem[start:stop]:
                raise NamelessError(
                    f"{PARAMS}: download.pseudonyms.names: {self.expression.pattern!r} takes a slash in a path, so "
                    "folders would be lost. Write [^/] instead of a dot."
                )
            parts += [stem[end:start], self.of(stem[start:stop], kind)]
            end = stop
        return "".join([*parts, stem[end:]]) + suffix

    def _spans(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Start, end and kind of what identifies, from left to right, the outer of two groups first."""
        if self.expression is None:
            return
        kinds = {number: name for name, number in self.expression.groupindex.items()}
        for match in self.expression.finditer(text):
            groups = range(1, self.expression.groups + 1) or range(1)
            spans = [(*match.span(group), kinds.get(group, "id")) for group in groups]
            yield from sorted((span for span in spans if span[1] > span[0]), key=lambda span: (span[0], -span[1]))


def pseudonyms(names: str) -> Pseudonyms:
    """`names`: the setting. Makes the key where there is none.

    Raises:
        UserError: the key is too short, or its file cannot be read or written.
    """
    return Pseudonyms(hashlib.sha256(_key()).digest(), re.compile(names) if names else None)


def _key() -> bytes:
    path = project_root() / KEY
    value = os.environ.get(VARIABLE)
    where = VARIABLE if value is not None else str(KEY)
    try:
        if value is None and not path.exists():
            write_private(path, secrets.token_hex(32) + "\n")
        value = (path.read_text(encoding="utf-8") if value is None else value).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NamelessError(f"{KEY}: cannot be read or written ({error}). Check the file, or set {VARIABLE}.") from None
    if len(value) < SHORTEST_KEY:
        raise NamelessError(
            f"{where}: the key has {len(value)} characters; it needs {SHORTEST_KEY} or more that nobody can guess. "
            f"Without {VARIABLE} and {KEY}, a key is made."
        )
    return value.encode()


def write_private(path: Path, text: str) -> None:
    """Readable by its owner alone, from the first byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8",
                   errors="surrogateescape", newline="") as file:  # fmt: skip
        file.write(text)
    os.replace(partial, path)


def write_names(names: Mapping[str, str]) -> None:
    """Which file of the source became which of the archive, so that a fault can be found at its source."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["archive", "source"])
    writer.writerows(names.items())
    write_private(project_root() / NAMES, text.getvalue())


def named_in(name: str, identifiers: Iterable[str]) -> bool:
    """Whether one of these, where it is long enough to tell anything, stands in a path as a word of its own."""
    return any(
        len(value) >= TELLING and re.search(rf"(?<![^\W_]){re.escape(value)}(?![^\W_])", name, re.IGNORECASE)
        for value in identifiers
    )


@contextmanager
def _silence() -> Iterator[None]:
    level = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextmanager
def messages(pseudonyms: Pseudonyms | None) -> Iterator[None]:
    """Under pseudonyms, errors of the block may name patients: they go into a private file, and a message that says so
    takes their place. So may what libraries warn of and log, such as pydicom of a value that does not fit: none is
    shown.

    Raises:
        UserError: the block failed.
    """
    try:
        with nullcontext() if pseudonyms is None else _silence():
            yield
    except (NamelessError, DiskFull):
        raise
    except Exception as error:
        if pseudonyms is None:
            raise
        if isinstance(error, OSError) and (full := disk_full(RAW, error)):
            raise full from None
        text = f"{error}\n" if isinstance(error, UserError) else traceback.format_exc()
        write_private(project_root() / MESSAGE, text)
        raise UserError(
            "download stopped. The reason may name a patient, so it is not shown (download.privacy: pseudonymise). "
            f"It is in {MESSAGE}, which git and DVC ignore."
        ) from None
