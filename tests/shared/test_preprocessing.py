"""One recipe from bytes to array, for the pipeline and for serving."""

from __future__ import annotations

import io
import pickle

import cv2
import numpy as np
import pytest
from PIL import Image

from stages.shared.arrays.preprocessing import Preprocessor, PreprocessSpec, resize
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


def test_default_is_opencvs_clahe_then_area_averaging(film: np.ndarray):
    array = Preprocessor(PreprocessSpec(size=64))(png(film), "a.png")
    expected = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(film)
    expected = cv2.resize(expected, (64, 64), interpolation=cv2.INTER_AREA)
    assert array.shape == (64, 64, 1)
    assert array.dtype == np.uint8
    assert np.array_equal(array[..., 0], expected)


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


def test_mask_of_another_size_stays_on_its_image_and_two_valued(film: np.ndarray):
    mask = np.zeros((60, 45), np.uint8)
    mask[:, :20] = 200  # a grey that JPEG left; half the size of the image
    mask[:, 20:23] = 90
    spec = PreprocessSpec(size=32, steps=["HorizontalFlip"])
    image, outline = Preprocessor(spec).with_mask(png(film), "a.png", png(mask), "m.png")
    assert image.shape == (32, 32, 1)
    assert set(np.unique(outline)) == {0, 255}
    assert (outline[:, -13:] == 255).all()
    assert not outline[:, :15].any()


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
