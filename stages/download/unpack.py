"""Reading an archive of unknown origin without unpacking it to disk, and without trusting what it declares."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from ..shared.core.errors import UserError
from .entries import Entry
from .params import Limits

SMALL = 10_000_000  # bytes; below this no ratio is suspicious (a black mask shrinks to a thousandth)
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, UnicodeDecodeError)


class ArchiveError(UserError):
    """The archive itself is at fault: to fetch or pack the same bytes again would not help."""


@contextmanager
def open_archive(path: Path, limits: Limits, remedy: str) -> Iterator[tuple[Iterator[Entry], int | None]]:
    """The files of a .zip (sorted by name) or a .tar, plain or compressed (in its own order), and their number where
    the archive says it.

    Raises:
        ArchiveError: no archive, damaged, encrypted, larger than `limits`, or with a member that would be unpacked
            outside its folder.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as zip_file:
                infos = sorted((i for i in zip_file.infolist() if not i.is_dir()), key=lambda i: i.filename)
                # by the table of contents: no member can be larger than it declares (see `zip_entries`)
                refuse_bomb(sum(i.file_size for i in infos), len(infos), path, limits)
                yield zip_entries(zip_file, infos, path), len(infos)
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as tar_file:
                yield tar_entries(tar_file, path, limits), None
        else:
            raise ArchiveError(f"{path}: not a readable .zip or .tar archive. {remedy}")
    except (*DAMAGE, NotImplementedError, OSError) as error:  # not implemented: a compression that Python lacks
        if isinstance(error, OSError) and error.errno is not None:  # the disk's fault, not the archive's
            if error.filename != str(path):
                raise
            raise UserError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from None
        reason = str(error) or type(error).__name__
        raise ArchiveError(f"{path}: the archive is damaged or of an unknown kind ({reason}). {remedy}") from None


def zip_entries(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo], path: Path) -> Iterator[Entry]:
    """zipfile reads no more than the declared size and then checks the checksum, so a false size does no harm."""
    for info in infos:
        if info.flag_bits & 0x1:
            raise ArchiveError(
                f"{path}: {info.filename!r} is encrypted. Unpack the archive with its password and point "
                "download.folder.path at the folder."
            )
        name = safe_name(info.filename, stat.S_ISLNK(info.external_attr >> 16), path)
        yield Entry(name, info.file_size, partial(archive.read, info))


def tar_entries(archive: tarfile.TarFile, path: Path, limits: Limits) -> Iterator[Entry]:
    """Checked header by header: a compressed tar has no table of contents, and listing a bomb would unpack it."""
    total = 0
    for count, info in enumerate(archive, start=1):
        total += info.size
        refuse_bomb(total, count, path, limits)
        name = safe_name(info.name, info.issym() or info.islnk(), path)
        if info.isfile():
            yield Entry(name, info.size, partial(read_tar, archive, info))
        elif not info.isdir():
            raise ArchiveError(f"{path}: {info.name!r} is neither a file nor a folder. Pack the images without it.")


def read_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    return cast(IO[bytes], archive.extractfile(info)).read()  # None only for what is not a file


def safe_name(name: str, is_link: bool, path: Path) -> str:
    """`name` with forward slashes and without a leading "./".

    Raises:
        ArchiveError: the member is a link or would be unpacked outside its folder.
    """
    if is_link:
        raise ArchiveError(
            f"{path}: refused, because member {name!r} is a link and may point anywhere. Pack the images again with "
            "the files themselves (`tar --dereference`, `zip` without -y)."
        )
    plain = name.replace("\\", "/")
    parts = PurePosixPath(plain).parts
    if plain.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")) or "\0" in plain:
        raise ArchiveError(
            f"{path}: refused, because member {name!r} would be unpacked outside its folder. Such an archive is broken "
            "or hostile: get it from another source, or unpack it yourself and use that folder as download.folder.path."
        )
    return str(PurePosixPath(plain))


def refuse_bomb(total: int, count: int, path: Path, limits: Limits) -> None:
    """Compare what the archive declares with the limits, before anything is unpacked."""
    packed = path.stat().st_size
    if total > limits.unpacked_gb * 1e9:
        reason = f"it unpacks to {total / 1e9:,.1f} GB or more, over limits.unpacked_gb = {limits.unpacked_gb:g}"
    elif count > limits.files:
        reason = f"it has {count:,} files or more, over limits.files = {limits.files:,}"
    elif total > SMALL and total > limits.ratio * packed:
        reason = (
            f"its {packed / 1e6:,.1f} MB unpack to {total / 1e6:,.0f} MB or more, {total / packed:,.0f} to 1, over "
            f"limits.ratio = {limits.ratio:g}"
        )
    else:
        return
    raise ArchiveError(
        f"{path}: refused as a zip bomb: {reason}. If you trust the archive, raise that limit in params.yaml "
        "(download, under kaggle or folder)."
    )
