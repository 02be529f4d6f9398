"""Clusters of images that are the same picture."""

from __future__ import annotations

import io
import time

import cv2
import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LinearRegression

from stages.validate.duplicates import alignable, aligned_correlation, bits_of, clusters, near_pairs
from stages.validate.inspection import Inspection, inspect_image, trim
from stages.validate.params import NearDuplicates

NEAR = NearDuplicates()


def clusters_of(inspections: list[Inspection]) -> list[int]:
    return clusters(pd.DataFrame(inspections), NEAR).tolist()


@pytest.mark.parametrize("side", [5, 8, 16])  # 25 bits fill seven digits, which are no whole bytes
def test_bits_of_hashes_have_the_distances_that_imagehash_counts(side: int):
    hashes = [imagehash.ImageHash(bits) for bits in np.random.default_rng(0).random((12, side, side)) < 0.5]
    bits = bits_of([str(one) for one in hashes])
    expected = [[one - other for other in hashes] for one in hashes]
    assert (bits[:, None] != bits).sum(axis=2).tolist() == expected


def test_near_pairs_equal_those_counted_one_by_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stages.validate.duplicates.BLOCK", 7)
    bits = np.random.default_rng(0).integers(0, 2, (40, 16), dtype=np.uint8)
    expected = [(i, j) for i in range(40) for j in range(i + 1, 40) if (bits[i] != bits[j]).sum() <= 4]
    assert sorted(map(tuple, near_pairs(bits, 4).tolist())) == expected
    assert len(expected) > 5
    for first in (0, 1, 9, 14, 40):
        assert sorted(map(tuple, near_pairs(bits, 4, first).tolist())) == [pair for pair in expected if pair[0] < first]


def test_alignable_is_the_multiple_correlation_with_picture_and_gradients(make_film):
    pictures = np.stack([make_film(seed, (32, 32)) for seed in range(5)]).astype(float)
    pictures[4] = 7
    pairs = np.array([[2, 3], [0, 1], [0, 2], [1, 1], [0, 4]])
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    expected = []
    for i, j in pairs[:4]:
        dy, dx = np.gradient(pictures[i])
        features = np.stack([a.ravel() for a in (pictures[i], dx, dy, x * dx, y * dx, x * dy, y * dy)], axis=1)
        expected.append(
            LinearRegression().fit(features, pictures[j].ravel()).score(features, pictures[j].ravel()) ** 0.5
        )
    assert np.allclose(alignable(pictures, pairs), [*expected, 0])
    assert len(alignable(pictures, pairs[:0])) == 0


def test_alignment_undoes_a_small_shift_and_no_large_one(make_film):
    large = make_film(3, (300, 300))
    one, shifted, far = (
        cv2.resize(large[k : 256 + k, :256], (64, 64), interpolation=cv2.INTER_AREA) for k in (0, 3, 24)
    )
    assert np.corrcoef(one.ravel(), shifted.ravel())[0, 1] < 0.99
    assert aligned_correlation(one, shifted) > 0.998
    assert alignable(np.stack([one, shifted]).astype(float), np.array([[0, 1]]))[0] > 0.99
    assert aligned_correlation(one, far) == 0, "6 pixels of the thumbnail"


def test_duplicates_join_whatever_was_done_to_the_file_and_others_do_not(make_film, make_bytes):
    original = make_film(1)
    larger = np.asarray(Image.fromarray(original).resize((200, 220), Image.Resampling.BICUBIC))
    brighter = np.clip(original.astype(float) * 1.03 + 3, 0, 255).astype(np.uint8)
    files = [
        make_bytes(original), make_bytes(make_film(2)), make_bytes(original), make_bytes(larger),
        make_bytes(brighter, "JPEG", quality=85), make_bytes(np.stack([original] * 3, axis=2)), make_bytes(make_film(3)),
    ]  # fmt: skip
    assert clusters_of([inspect_image(data, "x.png", 16) for data in files]) == [0, 1, 0, 0, 0, 0, 2]


def slice_of(seed: int, side: int = 320) -> np.ndarray:
    """Like an MRI slice: a bright rim, tissue of its own inside, dark around it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    radius = np.hypot(x / rng.uniform(0.55, 0.7), y / rng.uniform(0.7, 0.85))
    tissue = cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), side / 25)
    tissue = cv2.normalize(tissue, None, 60, 200, cv2.NORM_MINMAX)
    picture = np.where(radius < 0.9, tissue, np.where(radius < 1, 230, 4)) + rng.normal(0, 1.5, (side, side))
    return np.clip(picture, 0, 255).astype(np.uint8)


def test_trimming_leaves_what_is_not_uniform():
    image = np.full((100, 120), 7, np.uint8)
    image[20:70, 30:110] = slice_of(0)[100:150, 100:180]
    assert np.array_equal(trim(image), image[20:70, 30:110])
    assert np.array_equal(trim(255 - image), 255 - image[20:70, 30:110]), "white borders too"
    assert np.array_equal(trim(image[15:80, 25:115]), trim(image))
    assert trim(np.full((100, 120), 7, np.uint8)).shape == (100, 120), "a blank image stays"


def test_crops_and_resizes_of_a_slice_join_and_other_slices_do_not(make_bytes):
    """What public sets of MRI slices hold: the same slice with more or less black around it, in another size."""
    inspections, expected = [], []
    for seed in range(12):
        original = slice_of(seed)
        rng = np.random.default_rng(1000 + seed)
        top, bottom, left, right = rng.integers(5, 18, 4)
        cropped = Image.fromarray(original[top:-bottom, left:-right]).resize((250, 270), Image.Resampling.BICUBIC)
        padded = Image.fromarray(np.pad(original, ((60, 20), (90, 120)), constant_values=3)).resize((400, 300))
        for picture, options in ((original, ("PNG",)), (cropped, ("JPEG",)), (padded, ("JPEG",))):
            inspections.append(inspect_image(make_bytes(np.asarray(picture), *options), "x.png", 16))
            expected.append(seed)
    assert clusters_of(inspections) == expected
    hashes = [imagehash.hex_to_hash(x.dhash) for x in inspections]
    assert max(hashes[k] - hashes[k + 2] for k in range(0, 36, 3)) > 60, "as they are, the hashes have little in common"


def test_many_images_take_little_time():
    """10,000 hashes, of which a few are close."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (10_000, 256), dtype=np.uint8)
    bits[5_000:5_100] = bits[:100]
    start = time.process_time()
    assert len(near_pairs(bits, 20)) == 100
    assert time.process_time() - start < 30


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
    nothing = dict.fromkeys(("dhash", "thumbnail", "trimmed_dhash", "trimmed_thumbnail"))
    images = pd.DataFrame([{"sha256": text, **nothing} for text in "abac"])
    assert clusters(images, NEAR).tolist() == [0, 1, 0, 2]


def test_an_inspection_measures_what_it_says(make_film, make_bytes):
    array = make_film(4)
    inspection = inspect_image(make_bytes(array), "a.png", 16)
    assert (inspection.width, inspection.height, inspection.mode, inspection.fault) == (64, 72, "L", None)
    assert inspection.brightness == pytest.approx(array.mean(), abs=1e-3)
    assert inspection.contrast == pytest.approx(array.std(), abs=1e-3)
    assert inspection.dhash == str(imagehash.dhash(Image.open(io.BytesIO(make_bytes(array))), 16))
    noisy = np.random.default_rng(0).integers(0, 256, array.shape, dtype=np.uint8)
    assert inspect_image(make_bytes(noisy), "b.png", 16).sharpness > 100 * inspection.sharpness
    assert "0 bytes" in inspect_image(b"", "c.png", 16).fault
