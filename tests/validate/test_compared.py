"""Comparisons of earlier runs: only new pictures are compared, and the clusters are those of a first run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.validate import duplicates
from stages.validate.compared import Compared
from stages.validate.duplicates import clusters
from stages.validate.inspection import Inspection, inspect_image
from stages.validate.params import NearDuplicates

NEAR = NearDuplicates()
KEPT = Path(".lightbox/compared")


@pytest.fixture
def pictures(make_film, make_bytes) -> list[Inspection]:
    """36 files in any order: films, copies, other sizes, some with a border around them, of which some share it."""
    inspections = []
    for seed in range(12):
        film = make_film(seed)
        larger = np.asarray(Image.fromarray(film).resize((230, 250), Image.Resampling.BICUBIC))
        bordered = np.pad(film, ((20 + seed, 9), (30, 12)), constant_values=2)
        versions = [film, larger, bordered, film][: 2 + seed % 3]
        inspections += [inspect_image(make_bytes(picture), "x.png", 16) for picture in versions]
    # no file twice by its bytes alone: the pictures have to be compared
    inspections = [replace(own, sha256=f"{number}") for number, own in enumerate(inspections)]
    return [inspections[i] for i in np.random.default_rng(0).permutation(len(inspections))]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each comparison took."""
    counts, one_by_one = [], duplicates.near_pairs

    def counted(bits: np.ndarray, distance: int, first: int) -> np.ndarray:
        counts.append(first)
        return one_by_one(bits, distance, first)

    monkeypatch.setattr(duplicates, "near_pairs", counted)
    return counts


def found(pictures: list[Inspection]) -> list[int]:
    earlier = Compared(NEAR)
    result = clusters(pd.DataFrame(pictures), NEAR, earlier).tolist()
    earlier.keep()
    return result


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("new", [0, 1, 9, 25])
def test_with_some_known_the_clusters_are_those_of_a_first_run(pictures, compared, new: int):
    cold = clusters(pd.DataFrame(pictures), NEAR).tolist()
    assert 12 <= len(set(cold)) <= 14
    assert len(cold) == 36
    chosen = np.random.default_rng(new).permutation(len(pictures))[: len(pictures) - new]
    found([pictures[i] for i in sorted(chosen)])
    compared.clear()
    assert found(pictures) == cold
    assert max(compared) <= new + 4, "new ones, and those that are equal to another to the byte"
    assert found(pictures[::-1]) == clusters(pd.DataFrame(pictures[::-1]), NEAR).tolist(), "in any order"


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_file_is_as_good_as_none(pictures, damage: bytes | None):
    cold = found(pictures)
    (file,) = KEPT.glob("*/compared.npz")
    content = file.read_bytes()
    middle = content.index(b".pairs.npy") + 200  # of the pairs: without a checksum, other pictures would be the same
    changed = content[:middle] + bytes([content[middle] ^ 3]) + content[middle + 1 :]
    file.write_bytes(changed if damage is None else damage)
    assert found(pictures) == cold
    assert file.read_bytes() == content, "and it is replaced"


@pytest.mark.usefixtures("workspace")
def test_runs_without_news_leave_the_same_file(pictures):
    found(pictures)
    files = {path: path.read_bytes() for path in KEPT.glob("*/*")}
    for _ in range(2):
        found(pictures)
        assert {path: path.read_bytes() for path in KEPT.glob("*/*")} == files


@pytest.mark.usefixtures("workspace")
def test_another_limit_asks_again(pictures, compared):
    found(pictures)
    compared.clear()
    strict = NearDuplicates(distance=0)
    clusters(pd.DataFrame(pictures), strict, Compared(strict))
    assert compared[0] == len(pictures)
