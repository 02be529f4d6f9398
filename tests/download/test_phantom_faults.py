from __future__ import annotations

import io
import json

import imagehash
import numpy as np
import pytest
from PIL import Image

from stages.shared.core.errors import UserError
from stages.shared.images.archive import Archive

from .conftest import Produce

PAIRS = {"exact_duplicates": 4, "near_duplicates": 4, "crops": 4}
FAULTS = {**PAIRS, "truncated": 2, "blank": 2, "conflicting_patients": 2}
SECTION = {"patients": 48, "size": 96}


@pytest.fixture
def planted(produce: Produce) -> tuple[Archive, dict[str, list]]:
    archive = produce(phantom={**SECTION, "faults": FAULTS})[1]
    return archive, json.loads(archive.read("phantom.json"))["faults"]


def patient(name: str) -> str:
    return name.split("/")[2].split("_")[0]


def pixels(archive: Archive, name: str) -> Image.Image:
    return Image.open(io.BytesIO(archive.read(name)))


def test_as_many_faults_as_asked_for_each_in_patients_of_its_own(planted: tuple[Archive, dict[str, list]]) -> None:
    archive, faults = planted
    assert {k: len(v) for k, v in faults.items()} == {**FAULTS, "corner_marker": 0}
    pairs = [pair[k] for kind in PAIRS for pair in faults[kind] for k in ("original", "copy")]
    names = pairs + faults["truncated"] + faults["blank"]
    assert set(names) <= set(archive.names())
    hosts = [patient(n) for n in names] + [c["patient"] for c in faults["conflicting_patients"]]
    assert len(set(hosts)) == len(hosts)


def test_exact_duplicates_are_the_only_equal_files(planted: tuple[Archive, dict[str, list]]) -> None:
    archive, faults = planted
    by_bytes: dict[bytes, list[str]] = {}
    for name in archive.names():
        if name.startswith("images/") and name not in faults["blank"]:
            by_bytes.setdefault(archive.read(name), []).append(name)
    equal = sorted(sorted(v) for v in by_bytes.values() if len(v) > 1)
    assert equal == sorted(sorted(d.values()) for d in faults["exact_duplicates"])


def test_near_duplicates_differ_in_bytes_but_hardly_in_their_perceptual_hash(
    planted: tuple[Archive, dict[str, list]],
) -> None:
    archive, faults = planted
    for pair in faults["near_duplicates"]:
        one, two = (pixels(archive, pair[k]) for k in ("original", "copy"))
        assert one.tobytes() != two.tobytes()
        assert imagehash.dhash(one) - imagehash.dhash(two) <= 3


def test_crops_show_the_same_film_smaller_or_as_a_part_of_the_file(planted: tuple[Archive, dict[str, list]]) -> None:
    archive, faults = planted
    sizes, filled = [], []
    for pair in faults["crops"]:
        original, copy = (pixels(archive, pair[k]) for k in ("original", "copy"))
        rows, columns = (np.nonzero(np.asarray(copy).any(axis=axis))[0] for axis in (1, 0))
        film = copy.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)).resize(original.size)
        assert np.corrcoef(np.asarray(film).ravel(), np.asarray(original).ravel())[0, 1] > 0.95
        mask = archive.read(
            pair["copy"].replace("images/", "masks/lung/").replace(pair["copy"].split("/")[1] + "/", "")
        )
        assert Image.open(io.BytesIO(mask)).size == copy.size
        sizes.append(copy.width / original.width)
        filled.append(len(columns) / copy.width)
    assert [size == 1 for size in sizes] == [True, False, True, False]
    assert all(share < 0.95 for share in filled[::2])
    assert all(0.55 < size < 0.95 for size in sizes[1::2])


def test_truncated_files_cannot_be_decoded_and_all_others_can(planted: tuple[Archive, dict[str, list]]) -> None:
    archive, faults = planted
    broken = []
    for name in archive.names():
        if name.endswith(".png"):
            try:
                pixels(archive, name).load()
            except OSError:
                broken.append(name)
    assert broken == sorted(faults["truncated"])


def test_blank_films_are_one_grey_and_no_other_film_is(planted: tuple[Archive, dict[str, list]]) -> None:
    archive, faults = planted
    films = [n for n in archive.names() if n.startswith("images/") and n not in faults["truncated"]]
    assert [n for n in films if np.ptp(np.asarray(pixels(archive, n))) == 0] == sorted(faults["blank"])


def test_conflicting_patients_are_the_only_ones_under_two_labels(planted: tuple[Archive, dict[str, list]]) -> None:
    archive, faults = planted
    labels: dict[str, set[str]] = {}
    for name in archive.names():
        if name.startswith("images/"):
            labels.setdefault(patient(name), set()).add(name.split("/")[1])
    twice = sorted(p for p, found in labels.items() if len(found) > 1)
    assert twice == sorted(c["patient"] for c in faults["conflicting_patients"])
    for conflict in faults["conflicting_patients"]:
        assert sorted(conflict["images"]) == sorted(
            n for n in archive.names() if n.startswith("images/") and patient(n) == conflict["patient"]
        )


def has_letter(image: Image.Image) -> bool:
    corner = np.asarray(image).astype(float)[3:15, 3:10]
    return bool((corner > 215).sum() >= 8)


@pytest.mark.parametrize(("strength", "ill", "healthy"), [(0.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.8, 0.8, 0.2)])
def test_the_corner_marker_goes_with_the_class_as_often_as_asked(
    strength: float, ill: float, healthy: float, produce: Produce
) -> None:
    faults = {**dict.fromkeys(FAULTS, 0), "corner_marker": strength}
    archive = produce(phantom={**SECTION, "faults": faults})[1]
    marked = json.loads(archive.read("phantom.json"))["faults"]["corner_marker"]
    names = [n for n in archive.names() if n.startswith("images/")]
    assert sorted(marked) == [n for n in names if has_letter(pixels(archive, n))]
    for folder, share in (("PNEUMONIA", ill), ("NORMAL", healthy)):
        of_class = [n for n in names if f"/{folder}/" in n]
        assert len(set(marked) & set(of_class)) / len(of_class) == pytest.approx(
            share, abs=0.15 if 0 < share < 1 else 0
        )


def test_without_faults_the_films_are_the_same_but_for_the_faulty_ones(produce: Produce) -> None:
    clean = produce(phantom={**SECTION, "faults": dict.fromkeys(FAULTS, 0)})[1]
    before = {n: clean.read(n) for n in clean.names() if n.startswith("images/")}
    archive = produce(phantom={**SECTION, "faults": FAULTS})[1]
    faults = json.loads(archive.read("phantom.json"))["faults"]
    changed = {n for n, data in before.items() if archive.read(n) != data}
    assert changed == {*faults["truncated"], *faults["blank"]}


def test_a_conflict_needs_two_folders(produce: Produce) -> None:
    section = {**SECTION, "findings": {"haze": 1, "consolidation": 1}}
    with pytest.raises(UserError, match="conflicting_patients: all findings share one folder"):
        produce(phantom=section)


def test_duplicates_need_two_patients_with_the_same_finding(produce: Produce) -> None:
    faults = {**dict.fromkeys(FAULTS, 0), "exact_duplicates": 1}
    with pytest.raises(UserError, match="no two patients with the same finding"):
        produce(phantom={"patients": 2, "size": 64, "findings": {"normal": 1, "haze": 1}, "faults": faults})
