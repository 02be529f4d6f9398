"""data/raw.zip: every source ends as this one archive, and images are read out of it, never unpacked."""

from __future__ import annotations

import hashlib
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.files import atomic

HEADER = struct.Struct("<26xHH")  # of a member: how long the name and the extra field after it are
ENCRYPTED = 0x1  # of a member's flags
EPOCH = (1980, 1, 1, 0, 0, 0)  # zip's own zero: the same images give the same bytes, so DVC sees no change


class Archive:
    """Read members by name. Opened when first used, so an instance can be sent to a worker process, and used by several
    threads at once. `stage`: that wrote it, for messages."""

    def __init__(self, path: Path, stage: str = "download") -> None:
        self.path, self.stage = path, stage
        self._one_reader = threading.Lock()

    def __reduce__(self) -> tuple[type[Archive], tuple[Path, str]]:
        return Archive, (self.path, self.stage)

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except FileNotFoundError:
            raise UserError(f"{self.path}: missing. Run `dvc repro {self.stage}`.") from None
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(
                f"{self.path}: not a readable zip archive ({error}). Delete it and run `dvc repro {self.stage}`."
            ) from None

    def names(self) -> list[str]:
        """Every file in the archive, in the order of its table of contents (`write_archive`)."""
        return [i.filename for i in self._zip.infolist() if not i.is_dir()]

    def info(self, name: str) -> zipfile.ZipInfo:
        """What the archive says of one member, without reading it.

        Raises:
            UserError: no such member.
        """
        try:
            return self._zip.getinfo(name)
        except KeyError:
            raise UserError(f"{self.path}: has no member {name!r}. Run `dvc repro validate` again.") from None

    def read(self, name: str) -> bytes:
        """The bytes of one member.

        Raises:
            UserError: no such member, or its bytes do not match the archive's checksum.
        """
        try:
            with self._one_reader:  # zipfile promises nothing to threads
                return read_member(self._zip, self.info(name))
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise UserError(
                f"{self.path}: member {name!r} is damaged ({error}). Delete the archive and run "
                f"`dvc repro {self.stage}`."
            ) from None

    def sha256(self, name: str) -> str:
        """Of the bytes of one member, in hexadecimal digits. Of a stored one it is taken straight from the file, which
        is several times as fast as `read`; the archive's own checksum is not looked at.

        Raises:
            UserError: no such member; of a member that is not stored, as `read`.
        """
        info = self.info(name)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & ENCRYPTED:
            return hashlib.sha256(self.read(name)).hexdigest()
        header = os.pread(self._file, HEADER.size, info.header_offset)
        if len(header) != HEADER.size:
            return hashlib.sha256(self.read(name)).hexdigest()  # which says what is wrong
        start = info.header_offset + HEADER.size + sum(HEADER.unpack(header))
        return hashlib.sha256(os.pread(self._file, info.file_size, start)).hexdigest()

    @property
    def _file(self) -> int:
        fp = self._zip.fp
        assert fp is not None  # it is never closed
        return fp.fileno()


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """All bytes of a stored or deflated member. zipfile's own `read` unpacks up to 2 GB before it looks at the declared
    size; asked for that size and one byte more, it stops there and finds a false size by the checksum.

    Raises:
        zipfile.BadZipFile, zlib.error, EOFError: damaged, or the declared size is false.
    """
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename!r} has {len(data)} bytes and should have {info.file_size}")
    return data


def write_archive(
    path: Path, members: Iterable[tuple[str, bytes]], order: Callable[[str], Any] = lambda name: name
) -> None:
    """Write (name, bytes) pairs as they come, stored (images are compressed already), with fixed timestamps. The table
    of contents is sorted by `order` of the names. Nothing is left at `path` when anything fails."""
    with atomic(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data)
        archive.filelist.sort(key=lambda member: order(member.filename))
