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
from typing import IO, Self, cast

from ..shared.core.errors import UserError
from ..shared.images.archive import read_member
from .entries import Entry, unreadable
from .params import Limits

SMALL = 10_000_000  # bytes; below this no ratio is suspicious (a black mask shrinks to a thousandth)
PADDING = 2**20  # bytes of zeros at the end of a tar; tar writes 10 kB, and more only if asked to
METHODS = {9: "Deflate64", zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA"}
LONG_HEADERS = {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE}
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    UnicodeDecodeError,
    RecursionError,  # tarfile follows one header to the next by recursion
)


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
        if is_tar(path):  # asked first: a tar with a zip in it passes for a zip
            with tarfile.open(path, tarinfo=Header) as tar_file:
                yield tar_entries(tar_file, path, limits), None
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as zip_file:
                infos = sorted(zip_file.infolist(), key=lambda i: i.filename)
                # by the table of contents: no member can be larger than it declares (see `zip_entries`)
                refuse_bomb(sum(i.file_size for i in infos), len(infos), path, limits)
                refuse_second(zip_file, path)
                yield zip_entries(zip_file, infos, path), sum(not i.is_dir() for i in infos)
        else:
            raise ArchiveError(f"{path}: not a readable .zip or .tar archive. {remedy}")
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's fault, not the archive's
            raise (unreadable(error) if error.filename == str(path) else error) from None
        raise ArchiveError(f"{path}: the archive is damaged ({error or type(error).__name__}). {remedy}") from None


class Header(tarfile.TarInfo):
    """Refuses a long name of more than 1 MB, which tarfile would read into memory whole, whatever its size."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in LONG_HEADERS and header.size > 2**20:
            raise tarfile.ReadError(f"a name of {header.size:,} bytes")
        return header


def is_tar(path: Path) -> bool:
    try:
        tarfile.open(path, tarinfo=Header).close()
    except tarfile.TarError:
        return False
    return True


def refuse_second(archive: zipfile.ZipFile, path: Path) -> None:
    """Of two zip archives in one file, zipfile would read the second only."""
    with path.open("rb") as file:
        starts_with_a_member = file.read(4) == b"PK\3\4"
    if starts_with_a_member and min((i.header_offset for i in archive.infolist()), default=1) > 0:
        raise zipfile.BadZipFile("it begins with files that its table of contents does not list")


def zip_entries(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo], path: Path) -> Iterator[Entry]:
    """No member is larger than it declares: `read_member` reads no more, and then a checksum is wrong."""
    for info in infos:
        if info.flag_bits & 0x1:
            raise ArchiveError(
                f"{path}: {info.filename!r} is encrypted. Unpack the archive with its password and point "
                "download.folder.path at the folder."
            )
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            method = METHODS.get(info.compress_type, f"method {info.compress_type}")
            raise ArchiveError(
                f"{path}: {info.filename!r} is compressed with {method}, which cannot be unpacked safely. Pack the "
                "images again as an ordinary .zip (Deflate), or point download.folder.path at the unpacked folder."
            )
        archive.open(info).close()  # is it called the same there? Else it may be an image under a damaged name
        if not info.is_dir():
            name = safe_name(info.filename, stat.S_ISLNK(info.external_attr >> 16), path)
            yield Entry(name, info.file_size, partial(read_member, archive, info))


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
    check_end(archive)


def check_end(archive: tarfile.TarFile) -> None:
    """tarfile takes a damaged header, or the end of the file, for the end of the archive. The true end is a block of
    zeros with nothing but a few more zeros behind it. Reading that far also compares the checksum of a compressed file.

    Raises:
        tarfile.ReadError: the archive ends too early or goes on behind its end, so files of it would be lost.
    """
    file = cast(IO[bytes], archive.fileobj)
    file.seek(archive.offset)
    rest = 0
    while block := file.read(2**20):
        if block.strip(b"\0"):
            raise tarfile.ReadError(f"damaged header at byte {archive.offset + rest} of the unpacked archive")
        rest += len(block)
        if rest > PADDING:
            raise tarfile.ReadError("it ends in zeros, as a download does that stopped half-way")
    if rest < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it ends before its end marker, so it was cut short")


def read_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    data = cast(IO[bytes], archive.extractfile(info)).read()  # None only for what is not a file
    if len(data) != info.size:
        raise tarfile.ReadError(f"{info.name!r} has {len(data)} bytes and should have {info.size}")
    return data


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
