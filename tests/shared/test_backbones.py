import pytest
import torch
from torch import nn

from stages.shared.backbones import build
from stages.shared.errors import UserError
from stages.shared.model import create
from stages.shared.recipe import Architecture

TORCHVISION = ["resnet18", "mobilenet_v3_small", "densenet121", "efficientnet_b0", "alexnet", "vit_b_16"]


def test_small_cnn_is_small():
    backbone = build(Architecture(source="lightbox", name="small_cnn"))
    assert 400_000 < sum(p.numel() for p in backbone.parameters()) < 600_000
    assert backbone(torch.zeros(2, 3, 96, 96)).shape == (2, backbone.features)


@pytest.mark.parametrize("name", TORCHVISION)
def test_features_are_those_of_the_original_network(name):
    """The original, with its last linear layer put on our features, gives the original's answer."""
    from torchvision import models

    torch.manual_seed(0)
    original = models.get_model(name, weights=None).eval()
    head = [m for m in original.modules() if isinstance(m, nn.Linear)][-1]
    backbone = build(Architecture(source="torchvision", name=name)).eval()
    backbone.network.load_state_dict(original.state_dict(), strict=False)
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(head(backbone(images)), original(images), atol=1e-5)


@pytest.mark.parametrize("name", TORCHVISION)
def test_stages_cover_every_parameter_once_in_order(name):
    backbone = build(Architecture(source="torchvision", name=name))
    covered = [id(p) for stage in backbone.stages for p in backbone.parameters_of(stage)]
    assert sorted(covered) == sorted(id(p) for p in backbone.network.parameters())
    assert next(iter(backbone.stages)) == "stem"
    assert len(backbone.stages) >= 4


def test_resnets_stages_are_its_four_layers():
    assert build(Architecture(source="torchvision", name="resnet18")).stages == {
        "stem": ["conv1", "bn1"], "stage1": ["layer1"], "stage2": ["layer2"], "stage3": ["layer3"], "stage4": ["layer4"],
    }  # fmt: skip


def test_an_unknown_name_gives_the_nearest_right_one():
    with pytest.raises(UserError, match="'resnet81' is not known. Did you mean 'resnet18'"):
        build(Architecture(source="torchvision", name="resnet81"))
    with pytest.raises(UserError, match="'smal_cnn' is not known. Did you mean 'small_cnn'"):
        build(Architecture(source="lightbox", name="smal_cnn"))


def test_grey_goes_in_as_three_equal_channels():
    model = create(Architecture(source="lightbox", name="small_cnn"), 2).eval()
    grey = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    assert torch.allclose(model(grey), model(grey.repeat(1, 3, 1, 1)), atol=1e-6)
