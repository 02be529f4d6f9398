"""Any albumentations transform by name; wrong names, arguments and values are reported in words; same seed, same pixels."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from stages.shared.arrays.catalogue import _classes
from stages.shared.arrays.transforms import Transform
from stages.shared.core.errors import UserError

WHERE = "params.yaml: preprocess.steps"
REQUIRED = {  # arguments that have no default
    "CenterCrop": {"height": 32, "width": 32},
    "Crop": {"x_max": 32, "y_max": 32},
    "CropAndPad": {"px": 4},
    "CropNonEmptyMaskIfExists": {"height": 32, "width": 32},
    "GridElasticDeform": {"num_grid_xy": [4, 4], "magnitude": 3},
    "LongestMaxSize": {"max_size": 48},
    "PadIfNeeded": {"min_height": 80, "min_width": 80},
    "RandomCrop": {"height": 32, "width": 32},
    "RandomResizedCrop": {"size": [32, 32]},
    "RandomSizedCrop": {"min_max_height": [20, 40], "size": [32, 32]},
    "Resize": {"height": 32, "width": 32},
    "SmallestMaxSize": {"max_size": 48},
}
RGB_ONLY = {
    "ChannelDropout", "ChromaticAberration", "HEStain", "ISONoise", "PlanckianJitter", "RandomFog", "RandomGravel",
    "RandomRain", "RandomSnow", "RandomSunFlare", "Spatter", "ToRGB",
}  # fmt: skip


@pytest.fixture(scope="module")
def film() -> np.ndarray:
    rng = np.random.default_rng(3)
    smooth = cv2.GaussianBlur(rng.integers(0, 256, (61, 74), dtype=np.uint8), (0, 0), 3)
    return cv2.normalize(smooth, None, 20, 230, cv2.NORM_MINMAX)[..., None]


@pytest.fixture(scope="module")
def outline(film: np.ndarray) -> np.ndarray:
    return np.where(film[..., 0] > 128, 255, 0).astype(np.uint8)


@pytest.mark.parametrize("step", [
    "CLAHE",
    {"CLAHE": None},
    {"CLAHE": {"clip_limit": 2.0}},
    {"CLAHE": {"clip_limit": [2.0, 2.0], "tile_grid_size": [8, 8]}},
])  # fmt: skip
def test_clahe_is_exactly_opencvs(film: np.ndarray, step: object):
    expected = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(film[..., 0])
    clahe = Transform([step], WHERE, channels=1, deterministic=True)
    for seed in range(5):
        assert np.array_equal(clahe(film, seed=seed)[..., 0], expected)


def test_clahe_on_colour_works_on_the_lightness_alone():
    colours = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    lab = cv2.cvtColor(colours, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(lab[..., 0])
    expected = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    assert np.array_equal(Transform(["CLAHE"], WHERE, channels=3, deterministic=True)(colours), expected)


def test_every_transform_of_albumentations_works_in_grey_or_says_that_it_needs_rgb(film, outline):
    rgb = np.repeat(film, 3, axis=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _classes():
            step = [{name: REQUIRED.get(name, {})}]
            if name in RGB_ONLY:
                with pytest.raises(UserError, match="needs RGB"):
                    Transform(step, WHERE, channels=1, deterministic=True)
                assert Transform(step, WHERE, channels=3, deterministic=True)(rgb, seed=1).shape[2] == 3
                continue
            image, mask = Transform(step, WHERE, channels=1, deterministic=True)(film, outline, seed=1)
            assert image.dtype == np.uint8
            assert image.shape[2] == 1
            assert mask.shape == image.shape[:2]
    assert len(_classes()) > 80
    assert set(_classes()) > RGB_ONLY


@pytest.mark.parametrize(("step", "message"), [
    ("clahe", r"steps\[0\]: 'clahe' is not known. Did you mean 'CLAHE'"),
    ("HorizontlFlip", "Did you mean 'HorizontalFlip'"),
    ({"CLAHE": {"cliplimit": 2}}, r"steps\[0\].CLAHE: argument: 'cliplimit' is not known. Did you mean 'clip_limit'.*tile_grid_size"),
    ({"CLAHE": {"clip_limit": "much"}}, r"CLAHE.clip_limit: .*'much'"),
    ({"CLAHE": {"clip_limit": [0.5, 1]}}, r"CLAHE.clip_limit: .*must be >= 1"),
    ({"MedianBlur": {"blur_limit": "wide"}}, r"MedianBlur.blur_limit: .*'wide'"),
    ({"Resize": {"height": 32}}, r"Resize.width: field required"),
    ({"Resize": {"height": 32, "width": 32, "interpolation": "INTER_ARE"}}, "Did you mean 'INTER_AREA'"),
    ({"HorizontalFlip": {"p": 0.5}}, r"HorizontalFlip.p: 0.5, but every image gets every step.*train.augment"),
    ({"CLAHE": 3}, "is not a step. Valid: `Name` or"),
    ({"CLAHE": {}, "Blur": {}}, "is not a step. Valid: `Name` or"),
    (7, "is not a step. Valid: `Name` or"),
    ("RandomFog", "needs RGB.*preprocess.mode: rgb"),
    ("Normalize", "cannot be used here.*8-bit"),
    ("BBoxSafeRandomCrop", "cannot be used here.*bounding boxes"),
    ("CoarseDropout3D", "cannot be used here.*volumes"),
    ("Mosaic", "cannot be used here.*other images"),
    ("OneOf", "'OneOf' is not known"),
])  # fmt: skip
def test_a_wrong_step_is_refused_by_name(step: object, message: str):
    with pytest.raises(UserError, match=message):
        Transform([step], WHERE, channels=1, deterministic=True)


def test_a_step_that_fails_on_an_image_names_itself_and_the_image(film: np.ndarray):
    crop = Transform([{"CenterCrop": {"height": 500, "width": 500}}], WHERE, channels=1)
    with pytest.raises(UserError, match=r"steps\[0\].CenterCrop: cannot be applied to an image of 61×74×1 uint8"):
        crop(film)


AUGMENT = [
    {"HorizontalFlip": {"p": 0.5}},
    {"Affine": {"rotate": [-15, 15], "scale": [0.9, 1.1], "interpolation": "INTER_LINEAR", "p": 0.9}},
    {"RandomBrightnessContrast": {"p": 0.8}},
    {"GaussNoise": {"p": 0.5}},
    {"ElasticTransform": {"p": 0.5}},
]


def test_same_seed_same_pixels_in_any_order_thread_and_copy(film: np.ndarray, outline: np.ndarray):
    augment = Transform(AUGMENT, "params.yaml: train.augment", channels=1)
    expected = [augment(film, outline, seed=s) for s in range(12)]
    again = [Transform(AUGMENT, "x")(film, outline, seed=s) for s in reversed(range(12))][::-1]
    copied = pickle.loads(pickle.dumps(augment))
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda s: copied(film, outline, seed=s), range(12)))
    for one, two, three in zip(expected, again, threaded, strict=True):
        for a, b, c in zip(one, two, three, strict=True):
            assert np.array_equal(a, b)
            assert np.array_equal(a, c)
    assert len({image.tobytes() for image, _ in expected}) > 8, "other seeds give other pixels"


def test_a_mask_moves_with_its_image(film: np.ndarray):
    mask = np.where(film[..., 0] > 128, 255, 0).astype(np.uint8)
    image, moved = Transform([{"HorizontalFlip": {}}], WHERE, deterministic=True)(film, mask)
    assert np.array_equal(image, film[:, ::-1])
    assert np.array_equal(moved, mask[:, ::-1])


def test_the_argument_is_not_changed_and_may_be_read_only(film: np.ndarray):
    before = film.copy()
    frozen = film.view()
    frozen.flags.writeable = False
    steps = Transform(["CoarseDropout", "InvertImg"], WHERE, channels=1, deterministic=True)
    assert not np.array_equal(steps(frozen), before)
    assert np.array_equal(film, before)


def test_no_steps_change_nothing(film: np.ndarray):
    assert np.array_equal(Transform([], WHERE, channels=1)(film), film)


def test_a_step_that_changes_the_size_is_refused_where_batches_need_one(film: np.ndarray):
    crop = Transform(
        [{"RandomCrop": {"height": 32, "width": 32, "p": 1.0}}], "params.yaml: train.augment", keep_size=True
    )
    with pytest.raises(UserError, match=r"train.augment: turn 61×74 pixels into 32×32.*one size"):
        crop(film)


def test_albumentations_asks_no_network_brings_no_torch_and_is_imported_with_the_first_step():
    code = (
        "import socket, sys; socket.socket.connect = None; from stages.shared.arrays.transforms import Transform;"
        "assert 'albumentations' not in sys.modules and 'numpy' not in sys.modules; Transform(['CLAHE'], 'x');"
        "assert 'torch' not in sys.modules; import albumentations.pytorch"  # where somebody wants it, it is there
    )
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], check=True)
