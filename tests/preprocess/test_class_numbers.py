"""Mask files -> class numbers, against arrays made by hand; annotated images and sites lie in every part of the split."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stages.preprocess import Params, run
from stages.preprocess.params import Split
from stages.preprocess.split import assign
from stages.shared.arrays.arrays import load_arrays
from stages.shared.arrays.masks import MaskFile, class_numbers
from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import PROCESSED
from stages.shared.core.settings import parse

LUNG = MaskFile("lung.png", 1, invert=False, threshold=127)
LEFT = np.array([[255, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 0]], np.uint8)
RIGHT = np.array([[0, 0, 0, 255], [0, 0, 0, 255], [0, 0, 0, 255]], np.uint8)
HEART = np.array([[0, 0, 0, 0], [0, 255, 255, 255], [0, 0, 0, 0]], np.uint8)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_files_of_one_structure_are_joined_and_a_later_structure_lies_on_an_earlier_one():
    heart = MaskFile("heart.png", 2, invert=False, threshold=127)
    numbers = class_numbers([LUNG, LUNG, heart], [png(LEFT), png(RIGHT), png(HEART)], (3, 4))
    assert numbers.tolist() == [[1, 0, 0, 1], [1, 2, 2, 2], [0, 0, 0, 1]]
    assert numbers.dtype == np.uint8


@pytest.mark.parametrize(("change", "grey", "expected"), [
    ({"invert": True}, [0, 255, 255, 0], [1, 0, 0, 1]),
    ({}, [3, 127, 128, 250], [0, 0, 1, 1]),  # fringes
    ({"threshold": 0}, [0, 1, 0, 1], [0, 1, 0, 1]),
    ({"invert": True, "threshold": 254}, [0, 1, 0, 1], [1, 0, 1, 0]),
])  # fmt: skip
def test_inversion_and_threshold_decide_which_pixels_belong_to_a_structure(change, grey, expected):
    assert class_numbers([replace(LUNG, **change)], [png(np.array([grey], np.uint8))], (1, 4)).tolist() == [expected]


@given(factor=st.integers(1, 5), bits=st.lists(st.booleans(), min_size=30, max_size=30))
def test_a_mask_of_a_multiple_of_the_size_of_its_image_is_the_same_mask(factor: int, bits: list[bool]):
    mask = np.array(bits).reshape(5, 6)
    large = np.kron(mask, np.full((factor, factor), 255)).astype(np.uint8)
    assert np.array_equal(class_numbers([LUNG], [png(large)], (5, 6)), mask)
    if factor > 1:
        small = class_numbers([LUNG], [png(np.where(mask, 255, 0).astype(np.uint8))], (5 * factor, 6 * factor))
        assert np.array_equal(small, large > 127)


def preprocess(**values: object) -> None:
    run(parse(Params, {"size": 24, "steps": ["CLAHE"], "split": {"folds": 3}, **values}, "preprocess"), Job())


def masks_of(path: str) -> list[dict[str, object]]:
    return [
        {"structure": "lung", "path": f"left/{path}", "invert": False, "threshold": 127},
        {"structure": "lung", "path": f"right/{path}", "invert": False, "threshold": 200},
        {"structure": "heart", "path": f"heart/{path}", "invert": True, "threshold": 127},
    ]


@pytest.fixture
def annotated(make_manifest) -> pd.DataFrame:
    manifest = make_manifest(5, 2, 60)
    has_mask = np.arange(len(manifest)) % 3 != 1
    masks = [masks_of(path) if has else [] for path, has in zip(manifest["path"], has_mask, strict=True)]
    return manifest.assign(has_mask=has_mask, masks=masks)


def test_two_structures_lie_in_the_arrays_as_in_the_files(annotated, validated):
    members = validated(annotated)
    preprocess()
    arrays = load_arrays()
    assert arrays.structures == ["lung", "heart"]
    assert arrays.index["has_mask"].tolist() == annotated["has_mask"].tolist()
    assert arrays.index["mask_fits"].all()
    assert not arrays.masks[~annotated["has_mask"].to_numpy()].any()
    for row in np.flatnonzero(annotated["has_mask"])[::9]:
        grey = [np.asarray(Image.open(io.BytesIO(members[mask["path"]]))) for mask in annotated["masks"][row]]
        expected = np.where(grey[2] < 128, 2, np.where((grey[0] > 127) | (grey[1] > 200), 1, 0))
        assert np.array_equal(arrays.original_mask(row), expected)
        assert (arrays.masks[row] == np.asarray(Image.fromarray(expected.astype(np.uint8)).resize((24, 24), 0))).all()
    with pytest.raises(ValueError, match="row 1 is not annotated"):
        arrays.original_mask(1)


def test_masks_change_no_pixel_of_the_images(annotated, validated):
    validated(annotated)
    preprocess()
    with_masks = load_arrays()
    images, print_with = np.array(with_masks.images), with_masks.fingerprint
    preprocess(split={"folds": 3})
    assert load_arrays().fingerprint == print_with
    validated(annotated.assign(has_mask=False, masks=[[] for _ in annotated["path"]]))
    preprocess()
    without = load_arrays()
    assert np.array_equal(without.images, images)
    assert (without.masks, without.structures) == (None, [])
    assert without.fingerprint != print_with
    assert not (PROCESSED / "masks_original.zip").exists()


def test_arrays_of_another_version_and_lost_original_masks_say_what_to_run(annotated, validated):
    validated(annotated)
    preprocess()
    (PROCESSED / "masks_original.zip").unlink()
    with pytest.raises(UserError, match=r"masks_original.zip: missing. Run `dvc repro preprocess`"):
        load_arrays().original_mask(0)
    meta = PROCESSED / "meta.json"
    meta.write_text(meta.read_text().replace('"structures"', '"structure"'))
    with pytest.raises(UserError, match=r"meta.json: lacks 'structures'. Run `dvc repro -f preprocess`"):
        load_arrays()


@pytest.mark.parametrize("seed", range(3))
def test_every_part_has_its_share_of_annotated_images_and_of_sites(seed: int):
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(300), rng.integers(1, 4, 300))
    manifest = pd.DataFrame({
        "path": [f"{i}.png" for i in range(len(patient))],
        "label": pd.Categorical(np.where((rng.random(300) < 0.4)[patient], "sick", "well")),
        "patient": patient.astype(str),
        "has_mask": (rng.random(300) < 0.25)[patient],
        "site": np.where((rng.random(300) < 0.3)[patient], "north", "south"),
        "masks": None,
        "provided_split": None,
        "cluster": range(len(patient)),
    })  # fmt: skip
    index = assign(manifest, Split(folds=4, test=0.2, seed=seed))
    images = pd.crosstab(index["fold"], [index["has_mask"], index["site"], index["label"]])
    assert images.shape == (5, 8)
    expected = images.sum() / 5
    assert ((images - expected).abs() <= 2 + 0.1 * expected).all(axis=None), images


def test_where_all_images_are_alike_in_masks_and_site_the_split_does_not_depend_on_them(make_manifest):
    manifest = make_manifest(3)
    plain = assign(manifest, Split())
    alike = assign(manifest.assign(has_mask=True, site="north"), Split())
    assert alike["site"].eq("north").all()
    pd.testing.assert_frame_equal(alike.drop(columns="site").assign(has_mask=False), plain)
