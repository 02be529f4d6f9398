"""Inspections of earlier runs: only what is new is decoded, and the rest is what an inspection would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.shared.core.job import Job
from stages.shared.core.paths import MANIFEST, RAW
from stages.shared.core.settings import parse
from stages.shared.images.archive import Archive
from stages.validate import Params, earlier, inspection, run
from stages.validate.inspection import Inspection
from stages.validate.names import assign
from stages.validate.stage import inspect_all

KEPT = Path(".lightbox/inspections")
CLASSES = {"normal": "images/NORMAL/*", "pneumonia": "images/PNEUMONIA/*"}


def inspect(**values: object) -> dict[str, Inspection]:
    mask = {"lung": {"files": "masks/lung/{stem}.png"}}
    params = parse(Params, {"classes": CLASSES, "patient": r"patient\d+", "mask": mask, **values}, "validate")
    archive = Archive(RAW)
    files = assign(archive.names(), params, archive.read)
    return dict(zip(files.images["path"], inspect_all(files, params), strict=True))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names, inspect_image = [], inspection.inspect_image

    def counted(data: bytes, name: str, hash_size: int) -> Inspection:
        names.append(name)
        return inspect_image(data, name, hash_size)

    monkeypatch.setattr(inspection, "inspect_image", counted)
    return names


def test_the_second_run_decodes_what_is_new_and_says_the_same(films, pack, decoded, make_film, make_bytes):
    bordered = np.pad(make_film(70), 12)  # its trimmed picture is another one
    films["images/NORMAL/patient0090_normal_1.png"] = make_bytes(bordered)
    new = "images/NORMAL/patient0001_normal_2.png"
    pack({name: data for name, data in films.items() if name != new})
    inspect()
    assert len(decoded) == 24
    decoded.clear()
    pack(films)
    second = inspect()
    assert decoded == [new]
    for path in KEPT.glob("*/*"):
        path.unlink()
    fresh = inspect()
    assert len(decoded) == 1 + 25
    assert second == fresh
    assert fresh["images/NORMAL/patient0090_normal_1.png"].thumbnail != (
        fresh["images/NORMAL/patient0090_normal_1.png"].trimmed_thumbnail
    )
    assert fresh[new].masks[0].levels == (0, 255)


@pytest.mark.parametrize("change", ["bytes", "mask", "threshold", "hash_size", "headers", "code", "library", "damage"])
def test_what_is_not_the_same_is_inspected(films, pack, decoded, make_film, make_bytes, monkeypatch, change: str):
    pack(films)
    inspect()
    decoded.clear()
    some, values = {"images/NORMAL/patient0001_normal_2.png"}, {}
    match change:
        case "bytes":
            pack({**films, "images/NORMAL/patient0001_normal_2.png": make_bytes(make_film(99))})
        case "mask":
            pack({**films, "masks/lung/patient0001_normal_2.png": make_bytes(255 - make_film(99))})
        case "threshold":
            values = {"mask": {"lung": {"files": "masks/lung/{stem}.png", "threshold": 90}}}
        case "hash_size":
            values = {"near_duplicates": {"hash_size": 8, "distance": 4}}
        case "headers":
            values = {"dicom": {"metadata": ["age"]}}
        case "code":
            monkeypatch.setattr(earlier, "digest_of", lambda *_: "other code")
        case "library":
            monkeypatch.setattr(earlier, "version", lambda name: f"{name} 99")
        case "damage":
            (file,) = KEPT.glob("*/*")
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
    inspect(**values)
    assert set(decoded) == (some if change in ("bytes", "mask") else {n for n in films if n.startswith("images")})


def test_what_could_not_be_read_is_tried_again(films, pack, decoded):
    films |= {"images/NORMAL/patient0001_normal_2.png": b"no image", "masks/lung/patient0002_normal_1.png": b"none"}
    pack(films)
    inspect()
    decoded.clear()
    again = inspect()
    assert sorted(decoded) == ["images/NORMAL/patient0001_normal_2.png", "images/NORMAL/patient0002_normal_1.png"]
    assert again["images/NORMAL/patient0001_normal_2.png"].fault


def test_the_manifest_is_the_same_to_the_byte(films, pack):
    pack(films)
    settings = {"classes": CLASSES, "patient": r"patient\d+", "mask": "masks/lung/{stem}.png"}
    params = parse(Params, {**settings, "limits": {"min_images_per_class": 4}}, "validate")
    manifests = []
    for _ in range(2):
        run(params, Job()).discard()
        manifests.append(MANIFEST.read_bytes())
    assert manifests[0] == manifests[1]
