"""Clusters of images that are the same picture."""

from __future__ import annotations

import io

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.validate.duplicates import clusters, correlations, near_pairs
from stages.validate.inspection import Inspection, inspect_image
from stages.validate.params import NearDuplicates

NEAR = NearDuplicates()


def clusters_of(inspections: list[Inspection]) -> list[int]:
    table = pd.DataFrame(inspections)
    return clusters(table["sha256"], table["dhash"], table["thumbnail"], NEAR).tolist()


def test_near_pairs_equal_those_counted_one_by_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stages.validate.duplicates.BLOCK", 7)
    bits = np.random.default_rng(0).integers(0, 2, (40, 16), dtype=np.uint8)
    expected = [(i, j) for i in range(40) for j in range(i + 1, 40) if (bits[i] != bits[j]).sum() <= 4]
    assert sorted(map(tuple, near_pairs(bits, 4).tolist())) == expected
    assert len(expected) > 5


def test_correlations_are_pearsons():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (5, 64), dtype=np.uint8)
    pictures[4] = 7
    pairs = np.array([[0, 1], [2, 3], [0, 0], [0, 4]])
    expected = [*(np.corrcoef(pictures[i], pictures[j])[0, 1] for i, j in pairs[:3]), 0]
    assert np.allclose(correlations(pictures, pairs), expected)


def test_copies_join_whatever_was_done_to_the_file_and_others_do_not(make_film, make_bytes):
    original = make_film(1)
    larger = np.asarray(Image.fromarray(original).resize((200, 220), Image.Resampling.BICUBIC))
    brighter = np.clip(original.astype(float) * 1.03 + 3, 0, 255).astype(np.uint8)
    files = [
        make_bytes(original), make_bytes(make_film(2)), make_bytes(original), make_bytes(larger),
        make_bytes(brighter, "JPEG", quality=85), make_bytes(np.stack([original] * 3, axis=2)), make_bytes(make_film(3)),
    ]  # fmt: skip
    assert clusters_of([inspect_image(data, "x.png", 16) for data in files]) == [0, 1, 0, 0, 0, 0, 2]


def test_pictures_alike_in_outline_only_stay_apart(make_film, make_bytes):
    """Two films of one layout with another finding: dHash alone would join them, the thumbnails do not."""
    one = make_film(1).astype(float)
    spot = np.zeros_like(one)
    spot[20:44, 20:40] = 60
    other = np.clip(one + spot, 0, 255).astype(np.uint8)
    inspections = [inspect_image(make_bytes(x.astype(np.uint8)), "x.png", 16) for x in (one, other)]
    hashes = [imagehash.hex_to_hash(x.dhash) for x in inspections]
    assert hashes[0] - hashes[1] <= 24
    assert clusters_of(inspections) == [0, 1]


def test_images_without_hash_join_by_their_bytes_only():
    found = clusters(pd.Series(["a", "b", "a", "c"]), pd.Series([None] * 4), pd.Series([None] * 4), NEAR)
    assert found.tolist() == [0, 1, 0, 2]


def test_an_inspection_measures_what_it_says(make_film, make_bytes):
    array = make_film(4)
    seen = inspect_image(make_bytes(array), "a.png", 16)
    assert (seen.width, seen.height, seen.mode, seen.fault) == (64, 72, "L", None)
    assert seen.brightness == pytest.approx(array.mean(), abs=1e-3)
    assert seen.contrast == pytest.approx(array.std(), abs=1e-3)
    assert seen.dhash == str(imagehash.dhash(Image.open(io.BytesIO(make_bytes(array))), 16))
    noisy = np.random.default_rng(0).integers(0, 256, array.shape, dtype=np.uint8)
    assert inspect_image(make_bytes(noisy), "b.png", 16).sharpness > 100 * seen.sharpness
    assert "0 bytes" in inspect_image(b"", "c.png", 16).fault
