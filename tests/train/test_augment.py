import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import ndimage

from stages.shared.arrays.transforms import Transform
from stages.train.params.augment import PRESETS, Augment

SIDE, TRIALS = 96, 200


def alone(preset, name):
    """One step of a preset, and how often it is meant to happen."""
    step = next(step for step in PRESETS[preset] if name in step)
    return Transform([step], "here", channels=1, keep_size=True), step[name]["p"]


def changed(transform, image, trials=TRIALS):
    """The images of many draws that are not the image itself."""
    return [done for seed in range(trials) if not np.array_equal(done := transform(image, seed=seed), image)]


def happens(found, share):
    """Within 4 standard errors."""
    return abs(len(found) / TRIALS - share) < 4 * (share * (1 - share) / TRIALS) ** 0.5


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("height", "width", "channels"), [(96, 96, 1), (64, 100, 1), (224, 224, 3)])
def test_a_preset_keeps_size_and_type_and_repeats_itself(preset, height, width, channels):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    kept = image.copy()
    transform = Transform(PRESETS[preset], "here", channels=channels, keep_size=True)
    draws = [transform(image, seed=seed) for seed in range(8)]
    assert {(d.shape, d.dtype) for d in draws} == {(image.shape, image.dtype)}
    assert len({d.tobytes() for d in draws}) > 4
    assert all(np.array_equal(d, transform(image, seed=seed)) for seed, d in enumerate(draws))
    assert np.array_equal(image, kept)


@pytest.mark.parametrize("preset", PRESETS)
def test_rotations_stay_within_15_degrees_either_way(preset):
    transform, share = alone(preset, "Rotate")
    line = np.zeros((SIDE, SIDE, 1), np.uint8)
    line[SIDE // 2 - 2 : SIDE // 2 + 2, 10:-10] = 255
    found = changed(transform, line)
    angles = []
    for image in found:
        y, x = np.nonzero(image[..., 0] > 100)
        angles.append(np.degrees(0.5 * np.arctan2(2 * np.cov(x, y)[0, 1], np.var(x) - np.var(y))))
    assert happens(found, share)
    assert 13 < max(angles) < 15.5
    assert -15.5 < min(angles) < -13


def test_half_of_the_films_are_flipped_left_to_right():
    transform, share = alone("films", "HorizontalFlip")
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 1), dtype=np.uint8)
    found = changed(transform, image)
    assert all(np.array_equal(flipped, image[:, ::-1]) for flipped in found)
    assert share == 0.5
    assert happens(found, share)


def test_brightness_and_contrast_stay_within_a_fifth():
    transform, share = alone("films", "RandomBrightnessContrast")
    ramp = np.tile(np.linspace(80, 140, SIDE).astype(np.uint8), (SIDE, 1))[..., None]
    found = changed(transform, ramp)
    contrast, brightness = np.array([np.polyfit(ramp.ravel(), image.ravel(), 1) for image in found]).T
    assert happens(found, share)
    assert 0.79 < contrast.min() < 0.85
    assert 1.15 < contrast.max() < 1.21
    assert -0.205 < brightness.min() / 255 < -0.15
    assert 0.15 < brightness.max() / 255 < 0.205


def test_blur_is_gaussian_of_at_most_one_pixel():
    transform, share = alone("films", "GaussianBlur")
    edge = np.zeros((SIDE, SIDE, 1), np.uint8)
    edge[:, SIDE // 2 :] = 250
    found = changed(transform, edge)
    sigmas = []
    for image in found:
        kernel = np.diff(image[SIDE // 2, :, 0].astype(float)) / 250
        places = np.arange(len(kernel)) - (kernel * np.arange(len(kernel))).sum()
        sigmas.append(np.sqrt((kernel * places**2).sum()))
    assert happens(found, share)
    assert 0.8 < max(sigmas) < 1.05
    assert min(sigmas) > 0.2
    assert all(abs(image.mean() - edge.mean()) < 1 for image in found)


def test_dropout_leaves_one_to_four_black_holes():
    transform, share = alone("films", "CoarseDropout")
    white = np.full((SIDE, SIDE, 1), 200, np.uint8)
    found = changed(transform, white)
    holes = [ndimage.label(image[..., 0] == 0) for image in found]
    assert happens(found, share)
    assert {n for _, n in holes} >= {1, 2, 3}
    assert max(n for _, n in holes) <= 4
    shares = [(labelled > 0).mean() for labelled, _ in holes]
    assert min(shares) > 0.04**2
    assert max(shares) <= 4 * 0.15**2
    assert all(set(np.unique(image)) == {0, 200} for image in found)


def test_sharpening_adds_a_part_of_the_laplacian_and_keeps_the_mean():
    transform, share = alone("mri", "Sharpen")
    rng = np.random.default_rng(0)
    image = (128 + 10 * ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 2) / 0.14).clip(60, 200)
    image = image.astype(np.uint8)[..., None]
    laplacian = ndimage.convolve(image[..., 0].astype(float), np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]))
    found = changed(transform, image)
    inner = (slice(2, -2), slice(2, -2))
    alphas = []
    for sharp in found:
        gained = sharp[..., 0].astype(float) - image[..., 0]
        alpha = (gained[inner] * laplacian[inner]).sum() / (laplacian[inner] ** 2).sum()
        assert np.abs(gained - alpha * laplacian)[inner].max() < 1.5  # rounded to whole levels
        assert abs(gained.mean()) < 0.6
        alphas.append(alpha)
    assert happens(found, share)
    assert 0.08 < min(alphas) < 0.15
    assert 0.35 < max(alphas) < 0.42


def test_a_list_is_taken_as_it_is_and_a_wrong_name_lists_the_right_ones():
    own = ["VerticalFlip", {"Rotate": {"limit": 5}}]
    field = TypeAdapter(Augment)
    assert field.validate_python("mri") == PRESETS["mri"]
    assert field.validate_python(own) == own
    with pytest.raises(
        ValidationError, match=r"'film' is no preset\. Did you mean 'films'\? Valid: films, mri, or a list"
    ):
        field.validate_python("film")
