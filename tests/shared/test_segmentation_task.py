"""The U-Net, its losses and what is watched, against segmentation_models_pytorch and scikit-learn."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from segmentation_models_pytorch import losses as smp
from sklearn.metrics import f1_score

from stages.shared.core.errors import UserError
from stages.shared.model.model import Segmenter
from stages.shared.model.recipe import Architecture, Decoder
from stages.shared.tasks.models import create
from stages.shared.tasks.segmentation import LOSSES, check_validation, losses, make_loss, structures, watch
from stages.train.params.recipe import CrossEntropy, Dice, DiceCrossEntropy, Focal, Tversky


def batch(outputs=3, images=4, side=24):
    generator = torch.Generator().manual_seed(outputs)
    logits = 2 * torch.randn(images, outputs, side, side, generator=generator)
    return logits, torch.randint(outputs, (images, side, side), generator=generator)


def each(loss, logits, targets):
    return torch.stack([loss(logits[i : i + 1], targets[i : i + 1].long()) for i in range(len(logits))])


@pytest.mark.parametrize("outputs", [2, 3])
def test_losses_are_those_of_segmentation_models_image_by_image(outputs):
    logits, targets = batch(outputs)
    classes, ones = list(range(1, outputs)), torch.ones(outputs)
    references = {
        Dice(): smp.DiceLoss("multiclass", classes=classes, smooth=0.5),  # twice as many pixels are in its ratio
        Tversky(alpha=0.3, beta=0.7): smp.TverskyLoss("multiclass", classes=classes, alpha=0.3, beta=0.7, smooth=1),
        CrossEntropy(): smp.SoftCrossEntropyLoss(smooth_factor=0.0),
    }
    for settings, reference in references.items():
        torch.testing.assert_close(
            make_loss(settings, ones)(logits, targets), each(reference, logits, targets), rtol=1e-4, atol=1e-4
        )


def test_dice_and_cross_entropy_is_their_sum_and_focal_without_gamma_is_cross_entropy():
    logits, targets = batch()
    ones = torch.ones(3)
    dice, entropy = (make_loss(s, ones)(logits, targets) for s in (Dice(), CrossEntropy()))
    both = make_loss(DiceCrossEntropy(dice_weight=2.0), ones)(logits, targets)
    torch.testing.assert_close(both, entropy + 2 * dice)
    torch.testing.assert_close(make_loss(Focal(gamma=0), ones)(logits, targets), entropy)


@pytest.mark.parametrize("settings", [Dice(), DiceCrossEntropy(), CrossEntropy(), Focal(), Tversky()])
def test_losses_and_gradients_are_finite_for_empty_images_and_large_half_precision_logits(settings):
    for scale, kind in ((1.0, torch.float32), (300.0, torch.float16)):
        logits = (scale * torch.randn(2, 2, 512, 512, generator=torch.Generator().manual_seed(0))).to(kind)
        logits.requires_grad_()
        loss = make_loss(settings, torch.ones(2))(logits, torch.zeros(2, 512, 512, dtype=torch.uint8))
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        assert loss.dtype == torch.float32
        assert loss.isfinite().all()
        assert gradient.isfinite().all()


def test_every_loss_takes_soft_targets():
    logits, targets = batch()
    for settings in (Dice(), DiceCrossEntropy(), CrossEntropy(), Focal(), Tversky()):
        loss = make_loss(settings, torch.tensor([1.0, 2.0, 3.0]))
        torch.testing.assert_close(loss(logits, targets), loss(logits, loss.soft(targets)))
    assert set(LOSSES) == {"dice", "dice_cross_entropy", "cross_entropy", "focal", "tversky"}


def test_watched_dice_is_scikit_learns_f1_and_leaves_out_what_is_empty_on_both_sides():
    logits, targets = batch(outputs=3)
    targets[0][targets[0] == 2] = 0
    logits[0, 2] = -100.0
    metric = watch(3)
    metric.update(logits[:1], targets[:1])
    metric.update(logits[1:], targets[1:])
    scores = [
        f1_score(targets[i].ravel() == k, logits[i].argmax(0).ravel() == k)
        for i in range(4) for k in (1, 2) if (i, k) != (0, 2)
    ]  # fmt: skip
    assert float(metric.compute()["val_dice"]) == pytest.approx(np.mean(scores))


def test_a_structure_without_a_pixel_among_the_training_images_is_refused():
    masks = np.zeros((4, 8, 8), np.uint8)
    masks[:, 0, 0], masks[3, 1, 1] = 1, 2
    arrays = SimpleNamespace(masks=masks, structures=["lung", "heart"])
    weights = losses(DiceCrossEntropy(), "balanced", arrays, np.arange(4)).class_weights
    assert weights.tolist() == pytest.approx([256 / (3 * 251), 256 / (3 * 4), 256 / 3])
    with pytest.raises(UserError, match="no pixel of the 3 training images is heart"):
        losses(DiceCrossEntropy(), "none", arrays, np.arange(3))


def test_validation_images_without_any_structure_are_refused():
    masks = np.zeros((4, 8, 8), np.uint8)
    masks[0, 0, 0] = 1
    arrays = SimpleNamespace(masks=masks, structures=["lung"])
    check_validation(arrays, np.arange(2))
    with pytest.raises(UserError, match="all 3 validation images are empty"):
        check_validation(arrays, np.arange(1, 4))


@pytest.mark.parametrize(
    ("source", "name"),
    [("lightbox", "small_cnn"), ("torchvision", "resnet18"), ("torchvision", "vgg16"), ("torchvision", "alexnet"),
     ("torchvision", "densenet121"), ("torchvision", "efficientnet_b0"), ("timm", "tf_efficientnet_lite0"),
     ("torchvision", "mobilenet_v3_small"), ("torchvision", "convnext_tiny"), ("torchvision", "swin_t")],
)  # fmt: skip
def test_every_family_with_a_pyramid_gives_maps_of_any_image_size_and_all_blocks_learn(source, name):
    model = create("segmentation", Architecture(source=source, name=name, dropout=0.1), 3)
    assert isinstance(model, Segmenter)
    size = (128, 160) if name != "swin_t" else (128, 128)
    logits = model(torch.zeros(2, 1, *size, dtype=torch.uint8))
    assert logits.shape == (2, 3, *size)
    assert structures(logits).shape == (2, 2, *size)
    logits.square().sum().backward()
    assert all(p.grad is not None for p in model.head.parameters())
    for block in model.backbone.map_layers:  # a block behind the last map, as in MobileNet, has no part in it
        assert any(p.grad is not None for p in model.backbone.parameters_of(block))


def test_a_backbone_without_a_pyramid_or_with_another_number_of_levels_is_refused():
    with pytest.raises(UserError, match="maps of 1 resolution.*small_cnn, VGG"):
        create("segmentation", Architecture(source="torchvision", name="vit_b_16"), 2)
    short = Architecture(source="lightbox", name="small_cnn", decoder=Decoder(channels=[32, 16]))
    with pytest.raises(UserError, match=r"2 numbers, and SmallCNN has 4 .* \[128, 64, 32, 16\]"):
        create("segmentation", short, 2)
