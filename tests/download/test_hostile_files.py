"""Archives and images of every odd and broken kind: nothing is lost without a word, nothing but a plain message comes out."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import posixpath
import tarfile
import unicodedata
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from stages.shared.core.errors import UserError
from stages.shared.core.paths import RAW
from stages.shared.images.decode import UnreadableImage, decode
from stages.shared.images.kinds import SUFFIXES

from .conftest import Produce, png

few = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

Members = list[tuple[str, bytes]]
LETTERS = st.sampled_from(
    ["a", "B", "é", "e", "\u0301", "\u200f", " ", ".", "-", "\n", "\u202e", "\\", ":", "%", "\N{GRINNING FACE}"]
)
PARTS = st.one_of(
    st.text(LETTERS, min_size=1, max_size=8), st.sampled_from(["..", ".", "__MACOSX", "C:", "a" * 300, "x.zip", "a"])
)
STEMS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
NAMES = st.builds(str.__add__, STEMS, st.sampled_from([".png", ".png", ".JPG", ".dcm", ".txt", ".zip", ""]))


def as_zip(members: Members, how: int) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w", how) as archive:  # duplicate names
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, how)
    return buffer.getvalue()


INNER = as_zip([("inner.png", png(7, 40))], zipfile.ZIP_STORED)
CONTENTS = st.one_of(st.integers(0, 5).map(lambda seed: png(seed, 40)), st.binary(max_size=700), st.just(INNER))
MEMBERS = st.lists(st.tuples(NAMES, CONTENTS), min_size=1, max_size=6)


def as_tar(members: Members) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


PACKERS: dict[str, Callable[[Members], bytes]] = {
    "stored.zip": lambda members: as_zip(members, zipfile.ZIP_STORED),
    "deflated.zip": lambda members: as_zip(members, zipfile.ZIP_DEFLATED),
    "x.tar": as_tar,
    "x.tar.gz": lambda members: gzip.compress(as_tar(members), 1),
    "x.tar.bz2": lambda members: bz2.compress(as_tar(members)),
    "x.tar.xz": lambda members: lzma.compress(as_tar(members)),
}


def packed(produce: Produce, path: Path) -> dict[str, bytes] | None:
    """The images that the stage takes from an archive; None if it refuses the archive with a message of its own."""
    RAW.unlink(missing_ok=True)
    try:
        archive = produce(source="folder", folder={"path": str(path)})[1]
    except UserError as error:
        refusal = str(error)
    else:
        return {name: archive.read(name) for name in archive.names()}
    assert refusal.startswith((str(path), "download.folder.path"))
    assert not RAW.exists()
    return None


def images_among(members: Members) -> Members:
    plain = [(posixpath.normpath(name.replace("\\", "/")), data) for name, data in members]
    return [
        (name, data)
        for name, data in plain
        if posixpath.splitext(name)[1].lower() in SUFFIXES
        and not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
    ]


@few
@given(members=MEMBERS, packer=st.sampled_from(list(PACKERS)))
@example(members=[("./a.png", png(1)), ("a.png", png(2))], packer="x.tar")
@example(members=[("a.png", png(1)), ("b.zip", INNER)], packer="x.tar")
@example(members=[(".", b"data"), ("a.png", png(2))], packer="x.tar")
@example(members=[("a" * 70_000 + ".png", png(1))], packer="x.tar")
def test_every_image_of_a_sound_archive_arrives_or_the_archive_is_refused(
    members: Members, packer: str, produce: Produce, tmp_path: Path
) -> None:
    (tmp_path / packer).write_bytes(PACKERS[packer](members))
    images = packed(produce, tmp_path / packer)
    expected = images_among(members)
    unsafe = any({"..", ""} & set(name.replace("\\", "/").split("/")) or ":" in name for name, _ in members)
    if images is not None:
        assert sorted(images.items()) == sorted(expected)
    elif expected and not unsafe:  # a reason is left to refuse it: two images of one name, or a name too long or odd
        names = [unicodedata.normalize("NFC", name) for name, _ in expected]
        odd = any("\n" in name or "\u202e" in name for name in names)
        assert odd or len(set(names)) < len(names) or max(map(len, names)) > 65_000


@pytest.mark.parametrize(("name", "sign"), [
    ("a\nerror: all is well.png", r"\\n"), ("a\x1b[2J.png", r"\\x1b"), ("a\u202egpj.png", r"\\u202e"),
    ("a\u2066b.png", r"\\u2066"), ("a\x85b.png", r"\\x85"), ("a\u2028b.png", r"\\u2028"),
])  # fmt: skip
def test_a_name_that_would_deceive_whoever_reads_it_is_refused_and_shown_in_ascii(
    name: str, sign: str, produce: Produce, tmp_path: Path
) -> None:
    (tmp_path / "x.zip").write_bytes(as_zip([("good.png", png(1)), (name, png(2))], zipfile.ZIP_STORED))
    with pytest.raises(UserError, match=f"the file name 'a.*' has '{sign}', a sign that breaks lines or") as caught:
        produce(source="folder", folder={"path": str(tmp_path / "x.zip")})
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)
    assert not RAW.exists()


@pytest.mark.parametrize(
    "name", ["\u05e9\u05dc\u05d5\u05dd\u200f.png", "\u200e\u0635\u062f\u0631.png", "a" * 300 + ".png"]
)
def test_a_name_from_right_to_left_or_a_long_one_arrives(name: str, produce: Produce, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(as_zip([(name, png(2))], zipfile.ZIP_STORED))
    assert produce(source="folder", folder={"path": str(tmp_path / "x.zip")})[1].names() == [name]


@pytest.mark.parametrize("packer", ["stored.zip", "x.tar", "folder"])
def test_two_names_that_look_alike_are_refused(packer: str, produce: Produce, tmp_path: Path) -> None:
    members = [("caf\u00e9/a.png", png(1)), ("cafe\u0301/a.png", png(2))]
    path = tmp_path / packer
    if packer == "folder":
        for name, data in members:
            (path / name).parent.mkdir(parents=True)
            (path / name).write_bytes(data)
        if len(list(path.iterdir())) < 2:
            pytest.skip("this disk takes them for one name")
    else:
        path.write_bytes(PACKERS[packer](members))
    with pytest.raises(UserError, match=r"twice, so it is unclear which is meant \(é may be one letter"):
        produce(source="folder", folder={"path": str(path)})
    assert not RAW.exists()


@settings(few, max_examples=60)
@given(members=MEMBERS, packer=st.sampled_from(list(PACKERS)))
def test_nothing_is_written_but_the_archive(members: Members, packer: str, produce: Produce, tmp_path: Path) -> None:
    (tmp_path / packer).write_bytes(PACKERS[packer](members))
    before = {path for path in tmp_path.rglob("*") if path != RAW.absolute()}
    images = packed(produce, tmp_path / packer)
    added = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert added == ({RAW.absolute()} if images is not None else set())


SOUND = [(f"set/{i}.png", png(i, 40)) for i in range(5)]


@few
@given(packer=st.sampled_from(list(PACKERS)), place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_an_archive_with_a_wrong_byte_or_cut_short_loses_no_image_in_silence(
    packer: str, place: float, value: int, produce: Produce, tmp_path: Path
) -> None:
    whole = PACKERS[packer](SOUND)
    at = int(place * len(whole))
    for damaged in (whole[:at], whole[:at] + bytes([value]) + whole[at + 1 :]):
        (tmp_path / packer).write_bytes(damaged)
        images = packed(produce, tmp_path / packer)
        if packer == "x.tar":  # has checksums of its headers only
            assert images is None or list(images) == [name for name, _ in SOUND]
        else:
            assert images is None or images == dict(SOUND)


def encoded(form: str) -> bytes:
    mode = "L" if form == "PPM" else "RGB"
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)).convert(mode).save(buffer, form)
    return buffer.getvalue()


def dicom() -> bytes:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 16, 24, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.WindowCenter, data.WindowWidth, data.PixelPaddingValue = 500, 800, 0
    data.PixelData = np.arange(16 * 24, dtype=np.uint16).tobytes()
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


FILES = {form: encoded(form) for form in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "EPS")} | {
    "DICOM": dicom()
}
RAW_PYTHON = (
    "' object",
    "NoneType",
    "attribute",
    "index out of",
    "argument",
    "unpack",
    "0x",
    "invalid literal",
    "to float",
)


@settings(few, max_examples=250)
@given(
    form=st.sampled_from(list(FILES)),
    suffix=st.sampled_from([".png", ".jpg", ".dcm", ""]),
    cut=st.one_of(st.just(1.0), st.floats(0, 1)),
    wrong=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
)
def test_an_image_is_decoded_or_called_unreadable_in_plain_words(
    form: str, suffix: str, cut: float, wrong: list[tuple[int, int]]
) -> None:
    whole = FILES[form]
    data = bytearray(whole[: int(cut * len(whole))])
    for place, value in wrong:
        if place < len(data):
            data[place] = value
    reason, mode = "", ""
    try:
        with warnings.catch_warnings(action="ignore"):
            mode = decode(bytes(data), f"film{suffix}").mode
    except UnreadableImage as error:
        reason = error.reason
    assert reason or mode in ("L", "RGB")
    assert reason or form != "EPS"
    assert not any(word in reason for word in RAW_PYTHON)
