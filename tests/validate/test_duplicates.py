"""Clusters of images that are the same picture."""

from __future__ import annotations

import io

import imagehash
import numpy as np
import pytest
from PIL import Image

from stages.validate.duplicates import clusters, correlations, near_pairs, unpack
from stages.validate.params import NearDuplicates
from stages.validate.scan import Look, look

NEAR = NearDuplicates()


def clusters_of(looks: list[Look]) -> list[int]:
    found = clusters([x.sha256 for x in looks], [x.dhash for x in looks], [x.thumbnail for x in looks], NEAR)
    return found.tolist()


@pytest.mark.parametrize("hash_size", [4, 5, 8, 11, 16])
def test_unpack_gives_the_bits_that_imagehash_packed(hash_size: int):
    bits = np.random.default_rng(hash_size).integers(0, 2, (6, hash_size**2), dtype=np.uint8)
    packed = [str(imagehash.ImageHash(row.reshape(hash_size, hash_size).astype(bool))) for row in bits]
    assert np.array_equal(unpack(packed, hash_size), bits)


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
    assert clusters_of([look(data, "x.png", 16) for data in files]) == [0, 1, 0, 0, 0, 0, 2]


def test_pictures_alike_in_outline_only_stay_apart(make_film, make_bytes):
    """Two films of one layout with another finding: dHash alone would join them, the thumbnails do not."""
    one = make_film(1).astype(float)
    spot = np.zeros_like(one)
    spot[20:44, 20:40] = 60
    other = np.clip(one + spot, 0, 255).astype(np.uint8)
    looks = [look(make_bytes(x.astype(np.uint8)), "x.png", 16) for x in (one, other)]
    bits = unpack([x.dhash for x in looks], 16)
    assert (bits[0] != bits[1]).sum() <= 24
    assert clusters_of(looks) == [0, 1]


def test_images_without_hash_join_by_their_bytes_only():
    found = clusters(["a", "b", "a", "c"], [None] * 4, [None] * 4, NEAR)
    assert found.tolist() == [0, 1, 0, 2]


def test_look_measures_what_it_says(make_film, make_bytes):
    array = make_film(4)
    seen = look(make_bytes(array), "a.png", 16)
    assert (seen.width, seen.height, seen.mode, seen.readable) == (64, 72, "L", True)
    assert seen.brightness == pytest.approx(array.mean(), abs=1e-3)
    assert seen.contrast == pytest.approx(array.std(), abs=1e-3)
    assert seen.dhash == str(imagehash.dhash(Image.open(io.BytesIO(make_bytes(array))), 16))
    noisy = np.random.default_rng(0).integers(0, 256, array.shape, dtype=np.uint8)
    assert look(make_bytes(noisy), "b.png", 16).sharpness > 100 * seen.sharpness
    broken = look(b"", "c.png", 16)
    assert not broken.readable
    assert "0 bytes" in broken.reason
