"""Digests of members, taken straight from the file, beside those of what zipfile reads."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from stages.shared.core.errors import UserError
from stages.shared.images.archive import Archive

DATA = {"a.png": b"first", "dir/ä.dcm": bytes(range(256)) * 300, "empty.png": b""}


@pytest.fixture(params=[zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """As other programs write it: bytes in front, extra fields, sizes behind the data."""
    path = tmp_path / "raw.zip"
    with path.open("wb") as file, zipfile.ZipFile(file, "w", request.param) as archive:
        file.write(b"#!/bin/sh\n")
        for name, data in DATA.items():
            info = zipfile.ZipInfo(name)
            info.extra, info.compress_type = b"UT\x05\x00\x01\x00\x00\x00\x00", request.param
            archive.writestr(info, data)
        with archive.open("streamed.png", "w", force_zip64=True) as member:
            member.write(DATA["dir/ä.dcm"])
    return path


def test_digests_are_those_of_the_bytes(archive: Path):
    members = Archive(archive)
    expected = {name: hashlib.sha256(data).hexdigest() for name, data in DATA.items()}
    assert {name: members.sha256(name) for name in DATA} == expected
    assert members.sha256("streamed.png") == expected["dir/ä.dcm"]


def test_a_member_that_is_not_there_is_named(archive: Path):
    with pytest.raises(UserError, match=r"other\.png"):
        Archive(archive).sha256("other.png")
