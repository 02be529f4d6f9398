from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from stages.shared.core.errors import UserError
from stages.shared.core.paths import RAW
from stages.shared.images.kinds import SUFFIXES

from .conftest import Produce, png, zipped

TREE = {"NORMAL/a 1.png": png(1), "NORMAL/b.JPG": png(2), "PNEUMONIA/deep/c.dcm": b"DICM", "masks/a.bmp": b"BM"}
OTHER = {
    "labels.xlsx": b"1",
    "notes.txt": b"n",
    "README.md": b"r",
    ".hidden/x.png": b"h",
    "__MACOSX/y.png": b"m",
    "Thumbs.db": b"t",
}


def plant(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def tarred(files: dict[str, bytes], mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mtime = len(data), 1_700_000_000
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


PACK = {
    "x.zip": lambda files: zipped(files),
    "x.tar": lambda files: tarred(files, "w"),
    "x.tar.gz": lambda files: tarred(files, "w:gz"),
    "x.tar.bz2": lambda files: tarred(files, "w:bz2"),
    "x.tar.xz": lambda files: tarred(files, "w:xz"),
}


def refused(produce: Produce, path: Path | str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        produce(source="folder", folder={"path": str(path)})
    assert not RAW.parent.exists() or list(RAW.parent.glob("*raw*")) == []


def test_a_tree_is_packed_with_its_relative_names(
    produce: Produce, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plant(tmp_path / "own", TREE | OTHER)
    result, archive = produce(source="folder", folder={"path": str(tmp_path / "own")})
    assert {n: archive.read(n) for n in archive.names()} == TREE
    assert result.metrics == {"images": 4, "tables": 0, "left_out": 2, "bytes": RAW.stat().st_size}
    assert "4 images; left out 2 other files (1 .xlsx, 1 .txt)" in capfd.readouterr().err


def test_tables_beside_the_images_are_packed_too(
    produce: Produce, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tables = {"labels.csv": b"file,finding\n", "sheets/more.PARQUET": b"PAR1", "notes.txt": b"n"}
    plant(tmp_path / "own", TREE | tables)
    result, archive = produce(source="folder", folder={"path": str(tmp_path / "own")})
    assert set(archive.names()) == {*TREE, "labels.csv", "sheets/more.PARQUET"}
    assert (result.metrics["images"], result.metrics["tables"], result.metrics["left_out"]) == (4, 2, 1)
    assert "4 images and 2 tables; left out 1 other file (1 .txt)" in capfd.readouterr().err


@pytest.mark.parametrize("name", PACK)
def test_an_archive_is_taken_like_the_tree(name: str, produce: Produce, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(PACK[name](TREE | OTHER))
    result, archive = produce(source="folder", folder={"path": str(tmp_path / name)})
    assert {n: archive.read(n) for n in archive.names()} == TREE
    assert result.metrics["left_out"] == 2


def test_the_bytes_depend_on_names_and_contents_alone(produce: Produce, tmp_path: Path) -> None:
    for number, order in enumerate((list(TREE), list(reversed(TREE)))):
        folder = plant(tmp_path / str(number), {n: TREE[n] for n in order})
        os.utime(folder / "masks/a.bmp", (number * 1e6, number * 1e6))
        produce(source="folder", folder={"path": str(folder)})
        RAW.rename(f"{number}.zip")
    assert Path("0.zip").read_bytes() == Path("1.zip").read_bytes()


def test_the_default_is_the_repositorys_data_folder(produce: Produce, workdir: Path) -> None:
    plant(workdir / "data/folder", {"a.png": png(), "README.md": b"how to"})
    assert produce(source="folder")[1].names() == ["a.png"]


def test_an_experiments_copy_reads_the_main_repository(
    produce: Produce, workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path / "main/data/folder", {"a.png": png(), "README.md": b"how to"})
    plant(workdir / "data/folder", {"README.md": b"how to"})  # git tracks the README only
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    assert produce(source="folder")[1].names() == ["a.png"]


def test_links_in_a_tree_are_followed_and_a_linked_folder_has_a_warning(
    produce: Produce, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(tmp_path / "elsewhere", {"a.png": png(1), "sub/b.png": png(2)})
    own = plant(tmp_path / "own", {"c.png": png(3)})
    (own / "linked.png").symlink_to(tmp_path / "elsewhere/a.png")
    produce(source="folder", folder={"path": str(own)})
    assert "is a link" not in capsys.readouterr().err  # DVC reads through a link to a file
    (own / "more").symlink_to(tmp_path / "elsewhere/sub")
    assert produce(source="folder", folder={"path": str(own)})[1].names() == ["c.png", "linked.png", "more/b.png"]
    assert "1 folder is a link. DVC does not see changes behind" in capsys.readouterr().err


def test_a_loop_of_links_and_a_dangling_link_are_named(produce: Produce, tmp_path: Path) -> None:
    loop = plant(tmp_path / "loop", {"sub/a.png": png()})
    (loop / "sub/back").symlink_to(loop)
    refused(produce, loop, r"sub/back: a link that leads back")
    dangling = plant(tmp_path / "dangling", {"a.png": png()})
    (dangling / "b.png").symlink_to("nowhere")
    refused(produce, dangling, r"b\.png: a link to nothing")


def test_a_missing_path_is_named(produce: Produce) -> None:
    refused(produce, "data/nothing", "download.folder.path: 'data/nothing' does not exist")


@pytest.mark.parametrize("files", [{}, {"README.md": b"how to"}, {"a.csv": b"1"}, {"inner.zip": b"PK"}])
def test_no_image_at_all_is_an_error(files: dict[str, bytes], produce: Produce, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    refused(produce, plant(tmp_path / "own", files), "no image found")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_tar_with_links_or_devices_is_refused(kind: bytes, produce: Produce, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        info = tarfile.TarInfo("a.png")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    refused(produce, tmp_path / "x.tar", "'a.png' is (a link|neither)")


@pytest.mark.parametrize("pack", [zipped, lambda files: tarred({f"../{n}": d for n, d in files.items()}, "w:gz")])
def test_members_that_climb_out_are_refused(pack: object, produce: Produce, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(pack({"a/../../evil.png": png()}))
    refused(produce, tmp_path / "x", "would be unpacked outside its folder")


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tar.xz"])
def test_a_bomb_is_refused_by_its_ratio(name: str, produce: Produce, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(PACK[name]({"a.png": bytes(12_000_000)}))
    refused(produce, tmp_path / name, "refused as a zip bomb: .* over limits.ratio = 200")


@pytest.mark.parametrize("limits", [{"unpacked_gb": 1e-8}, {"files": 3}])
def test_each_limit_is_held_and_named(limits: dict[str, float], produce: Produce, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zipped(TREE))
    with pytest.raises(UserError, match=f"zip bomb: .* over limits.{next(iter(limits))} = "):
        produce(source="folder", folder={"path": str(tmp_path / "x.zip"), "limits": limits})


@pytest.mark.parametrize("name", PACK)
def test_a_truncated_archive_is_called_damaged(name: str, produce: Produce, tmp_path: Path) -> None:
    whole = PACK[name]({f"{i}.png": png(i, 100) for i in range(4)})
    (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
    refused(produce, tmp_path / name, "(damaged|not a readable).* Pack it again")


TARS = {
    "x.tar": lambda data: data,
    "x.tar.gz": lambda data: gzip.compress(data, 1),
    "x.tar.bz2": bz2.compress,
    "x.tar.xz": lzma.compress,
}


def lose(whole: bytes, how: str) -> bytes:
    """A tar of four images that tarfile reads without an error, and in which it finds fewer than four."""
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        third = archive.getmembers()[2].offset
    if how == "header":
        whole = whole[: third + 7] + b"!" + whole[third + 8 :]
    if how == "blank header":
        whole = whole[:third] + bytes(512) + whole[third + 512 :]
    if how == "cut at a member":
        whole = whole[:third]
    if how == "cut in a header":
        whole = whole[: third + 100]
    if how == "zeros from a member on":
        whole = whole[:third] + bytes(2_000_000)
    if how == "two in one":
        whole = whole + tarred({"more.png": png(9, 100)}, "w")
    return whole


@pytest.mark.parametrize(
    "how", ["header", "blank header", "cut at a member", "cut in a header", "zeros from a member on", "two in one"]
)
@pytest.mark.parametrize("name", TARS)
def test_a_tar_that_would_lose_images_in_silence_is_called_damaged(
    name: str, how: str, produce: Produce, tmp_path: Path
) -> None:
    damaged = lose(tarred({f"{i}.png": png(i, 100) for i in range(4)}, "w"), how)
    with tarfile.open(fileobj=io.BytesIO(damaged)) as archive:
        assert len(archive.getnames()) == (4 if how == "two in one" else 2)
    (tmp_path / name).write_bytes(TARS[name](damaged))
    refused(produce, tmp_path / name, "the archive is damaged .* Pack it again")


@pytest.mark.parametrize("name", [b"b.pnX", b"b.pn/", b".b.pn"])
def test_a_damaged_name_in_a_zip_loses_no_image(name: bytes, produce: Produce, tmp_path: Path) -> None:
    data = zipped({"a.png": png(1), "b.png": png(2)})
    at = data.rfind(b"b.png")  # in the table of contents
    (tmp_path / "x.zip").write_bytes(data[:at] + name + data[at + 5 :])
    refused(produce, tmp_path / "x.zip", "damaged .*b.pn.*differ")


def test_of_two_zips_in_one_file_none_is_lost_in_silence(produce: Produce, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zipped({"a.png": png(1)}) + zipped({"b.png": png(2)}))
    refused(produce, tmp_path / "x.zip", "damaged .*table of contents")


def test_a_false_size_in_a_zip_does_not_fill_the_memory(produce: Produce, tmp_path: Path) -> None:
    data = bytearray(zipped({"a.png": bytes(60_000_000)}))
    for at in (data.rfind(b"PK\x01\x02") + 24, 22):  # the size a member declares, in both headers
        data[at : at + 4] = (1000).to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(data)
    tracemalloc.start()
    refused(produce, tmp_path / "x.zip", r"damaged .*a\.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_tar_with_an_endless_name_does_not_fill_the_memory(
    kind: bytes, first: bool, produce: Produce, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        if not first:
            archive.addfile(tarfile.TarInfo("a.png"))
        info = tarfile.TarInfo("long")
        info.type, info.size = kind, 60_000_000
        archive.addfile(info, io.BytesIO(bytes(info.size)))
        archive.addfile(tarfile.TarInfo("b.png"))
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(buffer.getvalue(), 1))
    del buffer
    tracemalloc.start()
    refused(produce, tmp_path / "x.tar.gz", "not a readable" if first else "damaged .a name of 60,000,000 bytes")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_tar_of_headers_without_end_is_called_damaged(produce: Produce, tmp_path: Path) -> None:
    name = tarfile.TarInfo("long")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 5
    (tmp_path / "x.tar").write_bytes((name.tobuf() + b"a.png".ljust(512, b"\0")) * 3000)
    refused(produce, tmp_path / "x.tar", "damaged")


@pytest.mark.parametrize(("how", "says"), [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA")])
def test_a_zip_whose_unpacking_cannot_be_bounded_is_refused(
    how: int, says: str, produce: Produce, tmp_path: Path
) -> None:
    (tmp_path / "x.zip").write_bytes(zipped({"a.png": png()}, how))
    refused(produce, tmp_path / "x.zip", rf"'a\.png' is compressed with {says}.*ordinary \.zip")


def test_a_flipped_byte_in_a_zip_is_called_damaged(produce: Produce, tmp_path: Path) -> None:
    data = bytearray(zipped({"a.png": png(1, 100)}, zipfile.ZIP_STORED))
    data[2000] ^= 1
    (tmp_path / "x.zip").write_bytes(data)
    refused(produce, tmp_path / "x.zip", "damaged .*a.png.* Pack it again")


def test_an_encrypted_member_is_named(produce: Produce, tmp_path: Path) -> None:
    data = bytearray(zipped({"a.png": png()}))
    data[6] |= 1
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    refused(produce, tmp_path / "x.zip", "'a.png' is encrypted")


def test_a_name_that_is_there_twice_is_refused(produce: Produce, tmp_path: Path) -> None:
    data = zipped({"a.png": png(1), "b.png": png(2)}).replace(b"b.png", b"a.png")
    (tmp_path / "x.zip").write_bytes(data)
    refused(produce, tmp_path / "x.zip", "'a.png' twice")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_a_name_that_is_no_utf8_is_named(produce: Produce, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    with open(os.fsencode(tmp_path / "own") + b"/\xff.png", "wb") as file:
        file.write(png())
    refused(produce, tmp_path / "own", "not valid UTF-8")


def test_an_unreadable_file_is_named(produce: Produce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path / "own", {"a.png": png()})

    def denied(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", denied)
    refused(produce, tmp_path / "own", r"a\.png: cannot be read \(Permission denied\)\. Check its permissions")


def test_a_file_that_vanishes_meanwhile_is_named(
    produce: Produce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = plant(tmp_path / "own", {"a.png": png(1), "b.png": png(2)})
    reading = Path.read_bytes

    def move_b(path: Path) -> bytes:
        (own / "b.png").unlink(missing_ok=True)
        return reading(path)

    monkeypatch.setattr(Path, "read_bytes", move_b)
    refused(produce, own, r"b\.png: cannot be read \(No such file.*vanished meanwhile")


def test_a_full_disk_leaves_the_old_archive_as_it_was(
    produce: Produce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = plant(tmp_path / "own", {"a.png": png(1)})
    produce(source="folder", folder={"path": str(own)})
    before = RAW.read_bytes()

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(UserError, match=r"data/raw\.zip: the disk is full"):
        produce(source="folder", folder={"path": str(own)})
    assert RAW.read_bytes() == before
    assert [p.name for p in RAW.parent.iterdir()] == ["raw.zip"]


def test_validate_takes_every_file_that_download_took(produce: Produce, tmp_path: Path) -> None:
    """Both ask the same question; a file that only one of them took for an image would vanish, or stop the study."""
    from stages.shared.core.settings import parse
    from stages.validate import Params
    from stages.validate.names import assign

    files = {f"a/film{suffix}": b"x" for suffix in SUFFIXES} | {"a/FILM.PNG": b"x", "b/IM01": bytes(128) + b"DICM"}
    plant(tmp_path / "own", files | OTHER | {"a/LICENSE": b"no image" * 20, "c/readme": b"r", "a/list.xlsx": b"x"})
    _, archive = produce(source="folder", folder={"path": str(tmp_path / "own")})
    params = parse(Params, {"classes": {"png": "*.png", "jpg": "*.jpg"}}, "validate")
    found = assign(archive.names(), params, archive.read)
    assert set(found.images["path"]) == set(archive.names()) == set(files)
    assert found.others == []
