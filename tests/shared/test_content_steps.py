"""Steps of our own: against OpenCV by hand, planted objects, and what they do with images they cannot treat."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from stages.shared.arrays.content import NO_CONTOUR, NO_MASK, SMALL_CONTOUR, WHOLE_IMAGE
from stages.shared.arrays.preprocessing import Preprocessor, PreprocessSpec
from stages.shared.arrays.transforms import Transform
from stages.shared.core.errors import UserError

WHERE = "params.yaml: preprocess.steps"
TOP, BOTTOM, LEFT, RIGHT = 30, 110, 20, 90  # of the head: first row and column inside, first outside


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def slice_() -> np.ndarray:
    """A bright ellipse on a dark, noisy ground, with a bright speck and a letter beside it."""
    y, x = np.mgrid[:140, :120]
    middle, radii = ((TOP + BOTTOM - 1) / 2, (LEFT + RIGHT - 1) / 2), ((BOTTOM - TOP) / 2, (RIGHT - LEFT) / 2)
    head = ((y - middle[0]) / radii[0]) ** 2 + ((x - middle[1]) / radii[1]) ** 2 <= 1
    image = np.random.default_rng(0).integers(0, 20, (140, 120)) + 150 * head
    image[5:8, 100:103] = 255
    image[125:131, 100:112] = 220
    return image.astype(np.uint8)


def prepared(image: np.ndarray, *steps: object, mask: np.ndarray | None = None, **spec: object):
    spec = {"steps_on": "original", "size": 64, **spec}
    return Preprocessor(PreprocessSpec(steps=list(steps), **spec)).prepare(image.reshape(*image.shape[:2], -1), mask)


def by_hand(image: np.ndarray) -> np.ndarray:
    """The crop of the published study, its extreme points included."""
    grey = cv2.GaussianBlur(image, (5, 5), 0)
    thresh = cv2.threshold(grey, 45, 255, cv2.THRESH_BINARY)[1]
    thresh = cv2.dilate(cv2.erode(thresh, None, iterations=2), None, iterations=2)
    contours, _ = cv2.findContours(thresh.copy(), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = max(contours, key=cv2.contourArea)[:, 0]
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return image[top : bottom + 1, left : right + 1]


def test_the_crop_is_that_of_the_study_and_finds_the_planted_head(slice_):
    out = Transform(["CropLargestContour"], WHERE, channels=1, deterministic=True)(slice_[..., None])
    assert np.array_equal(out[..., 0], by_hand(slice_))
    height, width = out.shape[:2]
    assert abs(height - (BOTTOM - TOP)) <= 4
    assert abs(width - (RIGHT - LEFT)) <= 4


def test_the_crop_in_colour_is_the_crop_in_grey_and_the_mask_moves_along(slice_):
    colours, mask = np.repeat(slice_[..., None], 3, axis=2), np.where(slice_ > 100, 2, 0).astype(np.uint8)
    out = prepared(colours, "CropLargestContour", mask=mask, mode="rgb", size=list(by_hand(slice_).shape))
    assert np.array_equal(out.image[..., 1], by_hand(slice_))
    assert np.array_equal(out.mask == 2, out.image[..., 0] > 100)
    assert out.notes == ()


@pytest.mark.parametrize(("level", "settings", "note"), [
    (0, {}, NO_CONTOUR),
    (200, {}, WHOLE_IMAGE),
    (40, {}, NO_CONTOUR),  # not brighter than 45
    ("speck", {}, SMALL_CONTOUR),
    ("speck", {"smallest": 0.0}, None),
    ("head", {"margin": 1.0}, WHOLE_IMAGE),
])  # fmt: skip
def test_an_image_without_a_usable_contour_stays_whole_and_says_why(slice_, level, settings: dict, note: str | None):
    image = np.full((140, 120), level if isinstance(level, int) else 0, np.uint8)
    if level == "speck":
        image[10:18, 10:18] = 255
    if level == "head":
        image[45:95, 40:80] = 255
    out = prepared(image, {"CropLargestContour": settings})
    assert out.notes == (() if note is None else (("CropLargestContour", note),))
    whole = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)
    assert np.array_equal(out.image[..., 0], whole) == (note is not None)


def test_threshold_is_opencvs_and_keeps_levels_or_turns_them_white(slice_):
    inside = cv2.threshold(slice_, 45, 255, cv2.THRESH_BINARY)[1]
    inside = cv2.dilate(cv2.erode(inside, None, iterations=2), None, iterations=3)
    for channels in (1, 3):
        image = np.repeat(slice_[..., None], channels, axis=2)
        settings = {"level": 45, "erode": 2, "dilate": 3}
        kept = Transform([{"Threshold": settings}], WHERE, channels=channels, deterministic=True)(image)
        white = Transform([{"Threshold": {**settings, "foreground": "white"}}], WHERE, deterministic=True)(image)
        assert np.array_equal(kept, np.where(inside[..., None] > 0, image, 0))
        assert np.array_equal(white, np.repeat(inside[..., None], channels, axis=2))


def test_a_gaussian_blur_of_stated_size_is_opencvs(slice_):
    steps = [{"GaussianBlur": {"blur_limit": 5, "sigma_limit": 1.1}}]
    blurred = Transform(steps, WHERE, channels=1, deterministic=True)(slice_[..., None], seed=7)[..., 0]
    expected = cv2.GaussianBlur(slice_, (5, 5), 1.1)
    assert np.abs(blurred.astype(int) - expected).max() <= 1


def test_a_crop_to_the_mask_has_a_margin_inside_the_image(slice_):
    mask = np.zeros(slice_.shape, np.uint8)
    mask[40:60, 10:20], mask[100:120, 60:110] = 1, 2  # box: rows 40 to 119, columns 10 to 109
    for margin, box in ((0.0, (40, 120, 10, 110)), (0.1, (32, 128, 0, 120)), (0.25, (20, 140, 0, 120))):
        out = prepared(slice_, {"CropToMask": {"margin": margin}}, mask=mask)
        cut = slice_[box[0] : box[1], box[2] : box[3]]
        assert np.array_equal(out.image[..., 0], cv2.resize(cut, (64, 64), interpolation=cv2.INTER_AREA))
        assert set(np.unique(out.mask)) == {0, 1, 2}


@pytest.mark.parametrize("mask", [None, np.zeros((140, 120), np.uint8)])
def test_without_a_mask_an_image_is_refused_or_stays_whole(slice_, mask):
    with pytest.raises(UserError, match=r"CropToMask: the image has (no|an empty) mask"):
        prepared(slice_, "CropToMask", mask=mask)
    out = prepared(slice_, {"CropToMask": {"without_mask": "whole"}}, mask=mask)
    assert out.notes == (("CropToMask", NO_MASK),)
    assert np.array_equal(out.image[..., 0], cv2.resize(slice_, (64, 64), interpolation=cv2.INTER_AREA))


def test_crops_see_the_file_and_other_steps_the_resized_image(slice_):
    out = prepared(slice_, "CropLargestContour", "CLAHE", steps_on="resized")
    small = cv2.resize(by_hand(slice_), (64, 64), interpolation=cv2.INTER_AREA)
    assert np.array_equal(out.image[..., 0], cv2.createCLAHE(2.0, (8, 8)).apply(small))
    with pytest.raises(UserError, match=r"steps\[1\]: CropLargestContour comes after CLAHE.*Put crops first"):
        prepared(slice_, "CLAHE", "CropLargestContour", steps_on="resized")


def test_a_crop_keeps_its_proportions_where_that_is_asked_for(slice_):
    out = prepared(slice_, "CropLargestContour", steps_on="resized", keep_aspect=True)
    height, width = by_hand(slice_).shape
    columns = np.flatnonzero(out.image[..., 0].any(axis=0))
    assert columns[-1] - columns[0] + 1 == pytest.approx(64 * width / height, abs=1)


def test_views_show_each_step_and_end_with_what_the_model_sees(slice_):
    make = Preprocessor(PreprocessSpec(size=64, steps=["CropLargestContour", "CLAHE"], steps_on="resized"))
    views = list(make.views(slice_[..., None]))
    assert [view.name for view in views] == ["original", "CropLargestContour", "resized", "CLAHE", "model"]
    assert np.array_equal(views[-1].image, make(png(slice_), "a.png"))
    assert np.array_equal(views[0].image[..., 0], slice_)
    assert make.moves_pixels
    assert not Preprocessor(PreprocessSpec(steps=[{"Threshold": {"level": 45}}])).moves_pixels


@pytest.mark.parametrize(("step", "message"), [
    ("CropLargestContur", "Did you mean 'CropLargestContour'"),
    ({"CropLargestContour": {"treshold": 45}}, r"CropLargestContour: argument: 'treshold' is not known. Did you mean 'threshold'"),
    ({"CropLargestContour": {"blur": 4}}, r"CropLargestContour.blur: must be odd, or 0 for none; found 4"),
    ({"CropLargestContour": {"threshold": 300}}, r"CropLargestContour.threshold: .*254; found 300"),
    ("Threshold", r"Threshold.level: field required"),
    ({"CropToMask": {"without_mask": "skip"}}, r"CropToMask.without_mask: .*'refuse' or 'whole'; found 'skip'"),
])  # fmt: skip
def test_wrong_arguments_are_named(step: object, message: str):
    with pytest.raises(UserError, match=message):
        Transform([step], WHERE, channels=1, deterministic=True)


def test_augmentation_has_no_steps_of_ours():
    with pytest.raises(UserError, match=r"train.augment\[0\]: Threshold belongs to preprocess.steps"):
        Transform([{"Threshold": {"level": 3}}], "params.yaml: train.augment")


SERVED = [
    ["CLAHE"],
    [{"GaussianBlur": {"blur_limit": 5, "sigma_limit": 1.1}}],
    [{"Threshold": {"level": 45, "erode": 2, "dilate": 2}}],
    ["CropLargestContour"],
    ["CropToMask", "CLAHE"],
]


@pytest.mark.parametrize("steps", SERVED)
@pytest.mark.parametrize("settings", [
    {"mode": "grey", "keep_aspect": True, "interpolation": "lanczos", "steps_on": "resized"},
    {"mode": "rgb", "keep_aspect": False, "interpolation": "cubic", "steps_on": "original"},
])  # fmt: skip
def test_a_served_model_sees_the_array_of_the_preprocess_stage(
    slice_, tmp_path, monkeypatch, steps: list, settings: dict
):
    """From the recipe as it is written, and from the bytes of the files."""
    from stages.preprocess.arrays import ImageFile, write_arrays
    from stages.preprocess.earlier import Earlier
    from stages.shared.arrays.masks import MaskFile
    from stages.shared.images.archive import Archive, write_archive
    from stages.shared.tracking.serving_model import ServedModel

    monkeypatch.chdir(tmp_path)  # rows of earlier runs lie there
    image, mask = png(slice_), png(np.where(slice_ > 100, 255, 0).astype(np.uint8))
    write_archive(tmp_path / "raw.zip", [("a.png", image), ("mask.png", mask)])
    spec = PreprocessSpec(size=[40, 56], steps=steps, **settings)
    file = ImageFile("a.png", "", [MaskFile("mask.png", 1, invert=False, threshold=127)])
    write_arrays(tmp_path, Archive(tmp_path / "raw.zip"), [file], Preprocessor(spec), Earlier(spec))
    served = ServedModel()
    served.preprocess = Preprocessor(PreprocessSpec.model_validate_json(spec.model_dump_json()))
    seen = served.read(0, base64.b64encode(image).decode(), base64.b64encode(mask).decode())
    assert np.array_equal(seen, np.load(tmp_path / "images.npy")[0])


def test_a_served_model_that_needs_a_mask_refuses_an_image_without_one(slice_):
    from stages.shared.tracking.serving_model import ServedModel

    served, image = ServedModel(), base64.b64encode(png(slice_)).decode()
    served.preprocess = Preprocessor(PreprocessSpec(steps=["CropToMask"]))
    for mask in (None, "", float("nan")):
        with pytest.raises(ValueError, match=r"row 3: this model learned .* needs a mask .* column `mask`"):
            served.read(3, image, mask)
    served.preprocess = Preprocessor(PreprocessSpec(steps=[{"CropToMask": {"without_mask": "whole"}}]))
    whole = Preprocessor(PreprocessSpec(steps=[]))(png(slice_), "a.png")
    assert np.array_equal(served.read(3, image), whole)
