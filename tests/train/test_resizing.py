import numpy as np
import pytest
import torch
from PIL import Image

from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import Key
from stages.shared.model.model import Classifier
from stages.train import check, run
from stages.train.recipe.resizing import resized, sizes

KEY = Key("small_cnn", "from_scratch", "full")


@pytest.mark.parametrize(
    ("full", "epochs", "expected"),
    [
        ((128, 128), 10, [64, 80, 80, 96, 112, 112, 128, 128, 128, 128]),
        ((96, 96), 2, [48, 96]),
        ((32, 32), 1, [32]),
        ((20, 20), 3, [16, 16, 20]),
    ],
)
def test_sizes_grow_in_steps_of_16_and_the_last_epoch_has_the_full_one(full, epochs, expected):
    assert sizes(0.5, 0.6, full, epochs) == [(side, side) for side in expected]


def test_height_and_width_shrink_alike():
    assert sizes(0.5, 0.5, (64, 128), 2) == [(32, 64), (64, 128)]


def test_a_smaller_image_is_what_pillow_makes_of_it():
    images = torch.randint(0, 256, (2, 1, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for image, small in zip(images, resized(images, (32, 48)), strict=True):
        expected = Image.fromarray(image[0].numpy()).resize((48, 32), Image.Resampling.BILINEAR)
        assert np.abs(small[0].numpy() - np.asarray(expected, dtype=float)).max() <= 1  # Pillow rounds twice
    assert resized(images, (64, 96)) is images


@pytest.mark.parametrize("mix", [None, {"name": "mixup", "alpha": 1.0}])
def test_training_images_grow_and_validation_has_the_full_size_with_frozen_blocks_too(
    processed, train_params, shipped, monkeypatch, mix
):
    shapes: dict[bool, list[int]] = {True: [], False: []}
    original = Classifier.normalise

    def note(self, images):
        shapes[self.training].append(images.shape[2])
        return original(self, images)

    monkeypatch.setattr(Classifier, "normalise", note)
    backbone = {"source": "lightbox", "name": "small_cnn", "weights": str(shipped)}
    strategy = {"plan": "fine_tune", "last_blocks": 1}
    params = train_params(epochs=3, backbone=backbone, strategy=strategy, resize={"start": 0.5, "until": 0.6}, mix=mix)
    run(params, Job(Key("small_cnn", "fine_tune", "full")))
    trained, validated = shapes[True], shapes[False]
    steps = len(trained) // 3
    assert steps
    assert trained == [16] * steps + [32] * 2 * steps
    assert set(validated) == {16, 32}  # the first passes ask whether the network takes both sizes
    assert validated.count(16) == 1


def test_what_takes_one_size_only_is_refused_before_the_training(train_params):
    vit = {"source": "torchvision", "name": "vit_b_16", "weights": "imagenet"}
    with pytest.raises(UserError, match=r"^resize: vit_b_16 takes images of 224×224 alone\. Set resize: null"):
        check(train_params(backbone=vit, resize={"start": 0.5}))


def test_a_start_too_small_for_the_network_names_the_setting(processed, train_params):
    vgg = {"source": "torchvision", "name": "vgg11"}
    with pytest.raises(UserError, match=r"params\.yaml: train\.resize\.start: vgg11 cannot take images of 16×16"):
        run(train_params(backbone=vgg, resize={"start": 0.5}, epochs=2), Job(KEY))
