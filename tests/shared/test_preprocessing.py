"""One recipe from bytes to array, for the pipeline and for serving."""

from __future__ import annotations

import io
import pickle

import cv2
import numpy as np
import pytest
from PIL import Image

from stages.preprocess import Params
from stages.shared.arrays.preprocessing import Preprocessor, PreprocessSpec, resize, restore
from stages.shared.core.errors import UserError
from stages.shared.core.settings import parse


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def film() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (120, 90), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 4)


def test_default_is_area_averaging_then_opencvs_clahe_and_the_order_can_be_turned(film: np.ndarray):
    def clahe(image: np.ndarray) -> np.ndarray:
        return cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(image)

    def smaller(image: np.ndarray) -> np.ndarray:
        return cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)

    resized = Preprocessor(Params(size=64).spec)(png(film), "a.png")
    assert resized.shape == (64, 64, 1)
    assert resized.dtype == np.uint8
    assert np.array_equal(resized[..., 0], clahe(smaller(film)))
    original = Preprocessor(PreprocessSpec(size=64))(png(film), "a.png")
    assert np.array_equal(original[..., 0], smaller(clahe(film))), "a recipe from before there was a choice"


def test_a_film_is_as_bright_from_a_small_file_as_from_a_large_one():
    """CLAHE on an image of 100 pixels brightens it far more than on one of 400: classes whose files differ in size would
    differ in brightness."""
    smooth = cv2.GaussianBlur(np.random.default_rng(2).standard_normal((400, 400)).astype(np.float32), (0, 0), 12)
    large = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    small = cv2.resize(large, (100, 100), interpolation=cv2.INTER_AREA)
    means = {}
    for steps_on in ("resized", "original"):
        make = Preprocessor(PreprocessSpec(size=224, steps_on=steps_on))
        means[steps_on] = abs(make(png(large), "l.png").mean() - make(png(small), "s.png").mean())
    assert means["resized"] < 1 < means["original"] / 2


def test_padding_is_no_part_of_what_the_steps_see():
    noise = np.random.default_rng(0).integers(0, 256, (30, 60), dtype=np.uint8)
    spec = PreprocessSpec(size=40, steps=["InvertImg"], keep_aspect=True, steps_on="resized")
    array = Preprocessor(spec)(png(noise), "a.png")[..., 0]
    assert not array[:10].any()
    assert not array[30:].any()
    assert np.array_equal(array[10:30], 255 - cv2.resize(noise, (40, 20), interpolation=cv2.INTER_AREA))


@pytest.mark.parametrize(("mode", "channels"), [("grey", 1), ("rgb", 3)])
@pytest.mark.parametrize(("size", "shape"), [(32, (32, 32)), ([24, 40], (24, 40))])
def test_shape_follows_the_spec(film: np.ndarray, mode: str, channels: int, size: object, shape: tuple[int, int]):
    spec = parse(PreprocessSpec, {"mode": mode, "size": size, "steps": []}, "preprocess")
    assert Preprocessor(spec)(png(film), "a.png").shape == (*shape, channels)


def test_spec_survives_json_as_it_travels_in_a_recipe():
    import json

    spec = PreprocessSpec(size=(24, 40), steps=["InvertImg", {"CLAHE": {"clip_limit": 3.0}}], keep_aspect=True)
    assert PreprocessSpec.model_validate(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec


def test_keep_aspect_pads_with_black_and_keeps_proportions():
    wide = np.full((50, 100), 200, np.uint8)
    array = Preprocessor(PreprocessSpec(size=40, steps=[], keep_aspect=True))(png(wide), "a.png")[..., 0]
    assert (array[10:30] == 200).all()
    assert not array[:10].any()
    assert not array[30:].any()


@pytest.mark.parametrize(("name", "shrunk", "enlarged"), [
    ("area", cv2.INTER_AREA, cv2.INTER_LINEAR),
    ("linear", cv2.INTER_LINEAR, cv2.INTER_LINEAR),
    ("cubic", cv2.INTER_CUBIC, cv2.INTER_CUBIC),
    ("lanczos", cv2.INTER_LANCZOS4, cv2.INTER_LANCZOS4),
])  # fmt: skip
def test_interpolation_is_opencvs_and_masks_are_never_blended(film: np.ndarray, name: str, shrunk: int, enlarged: int):
    for side, expected in ((32, shrunk), (200, enlarged)):
        spec = PreprocessSpec(size=side, steps=[], interpolation=name)
        mask = np.where(film > 128, 2, 0).astype(np.uint8)
        prepared = Preprocessor(spec).prepare(film[..., None], mask)
        assert np.array_equal(prepared.image[..., 0], cv2.resize(film, (side, side), interpolation=expected))
        assert set(np.unique(prepared.mask)) == {0, 2}


def test_a_recipe_from_before_there_was_a_choice_of_interpolation_means_area():
    old = {"mode": "grey", "size": 64, "steps": [], "steps_on": "resized", "keep_aspect": False}
    assert PreprocessSpec.model_validate(old).interpolation == "area"
    with pytest.raises(UserError, match=r"interpolation.*'bilinear'"):
        parse(PreprocessSpec, {"interpolation": "bilinear"}, "preprocess")


def test_enlarging_is_smooth_and_of_the_same_size_untouched():
    small = np.array([[0, 200]], np.uint8)
    assert len(np.unique(resize(small, (1, 8)))) > 4
    assert np.array_equal(resize(small, (1, 2)), small)


def test_random_steps_give_the_same_image_the_same_pixels_whatever_came_before(film: np.ndarray):
    spec = PreprocessSpec(size=48, steps=["GaussNoise", "ElasticTransform"])
    one, two = Preprocessor(spec), pickle.loads(pickle.dumps(Preprocessor(spec)))
    other = png(film[::-1])
    expected = one(png(film), "a.png")
    two(other, "b.png")
    assert np.array_equal(two(png(film), "renamed.png"), expected)
    assert not np.array_equal(one(other, "b.png"), expected)


@pytest.mark.parametrize("steps_on", ["resized", "original"])
def test_a_mask_stays_on_its_image_and_keeps_its_numbers(film: np.ndarray, steps_on: str):
    mask = np.zeros(film.shape, np.uint8)
    mask[:, :40], mask[:, 40:46] = 1, 2
    spec = PreprocessSpec(size=32, steps=["HorizontalFlip", {"Affine": {"translate_px": 1}}], steps_on=steps_on)
    make = Preprocessor(spec)
    prepared = make.prepare(film[..., None], mask)
    image, numbers = prepared.image, prepared.mask
    assert image.shape == (32, 32, 1)
    assert numbers.shape == (32, 32)
    assert set(np.unique(numbers)) == {0, 1, 2}
    assert (numbers[5:, -12:] == 1).all()
    assert not numbers[:, :14].any()
    assert make.moves_pixels
    assert not Preprocessor(PreprocessSpec(steps=["CLAHE", "InvertImg"])).moves_pixels


@pytest.mark.parametrize("keep_aspect", [True, False])
@pytest.mark.parametrize("shape", [(90, 200), (201, 90), (40, 33), (64, 64)])
def test_what_a_model_sees_of_a_mask_comes_back_to_the_size_of_the_file(shape: tuple[int, int], keep_aspect: bool):
    height, width = shape
    y, x = np.mgrid[:height, :width]
    disc = (y / height - 0.45) ** 2 + (x / width - 0.6) ** 2 < 0.1
    spec = PreprocessSpec(size=64, steps=[], keep_aspect=keep_aspect)
    seen = Preprocessor(spec).prepare(np.zeros((*shape, 1), np.uint8), disc.astype(np.uint8)).mask
    back = restore(seen.astype(np.float32), shape, spec)
    assert back.shape == shape
    inside, outside = (back > 0.5) & disc, (back > 0.5) & ~disc
    assert inside.sum() / disc.sum() > 0.96
    assert outside.sum() / disc.sum() < 0.04
    if shape == (64, 64):
        assert np.array_equal(back, disc)


@pytest.mark.parametrize(("values", "message"), [
    ({"size": 3}, "preprocess.size: 3 is not a size.*8 to 4096"),
    ({"size": [32, 32, 32]}, "is not a size"),
    ({"size": "big"}, "'big' is not a size"),
    ({"size": True}, "is not a size"),
    ({"steps": "CLAHE"}, "should be a valid list"),
    ({"mode": "gray"}, "preprocess.mode: .*'gray'"),
    ({"sise": 3}, "Did you mean 'size'"),
])  # fmt: skip
def test_a_wrong_spec_is_refused_in_words(values: dict[str, object], message: str):
    with pytest.raises(UserError, match=message):
        parse(PreprocessSpec, values, "preprocess")


def test_a_wrong_step_is_refused_when_the_preprocessor_is_made():
    with pytest.raises(UserError, match=r"models/x/recipe.json: preprocess.steps\[0\]: 'clahe'.*'CLAHE'"):
        Preprocessor(PreprocessSpec(steps=["clahe"]), "models/x/recipe.json: preprocess")
