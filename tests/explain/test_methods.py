"""Ways to ask a model where it looked: each against its definition, written out another way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from stages.explain import Params
from stages.explain.methods import METHODS, eigen_cam, integrated_gradients, occlusion
from stages.explain.methods import attention_rollout as rollout
from stages.explain.methods.method import grey, heat_maps, log_probability, usable
from stages.explain.params import MethodName
from stages.shared.core.errors import UserError
from stages.shared.core.settings import parse
from stages.shared.model.backbones.base import Backbone, MapLayer, Normalisation
from stages.shared.model.model import Classifier
from stages.shared.model.recipe import Architecture
from stages.shared.tasks.models import create


@pytest.fixture(scope="module")
def small_cnn() -> Classifier:
    torch.manual_seed(0)
    return create("classification", Architecture(source="lightbox", name="small_cnn"), 2).eval()


@pytest.fixture(scope="module")
def films() -> torch.Tensor:
    return torch.randint(0, 256, (3, 1, 32, 32), generator=torch.Generator().manual_seed(1)).float()


def test_params_names_every_method() -> None:
    assert set(MethodName.__args__) == set(METHODS)


def test_the_setting_of_one_method_says_what_it_is_called_now() -> None:
    with pytest.raises(
        UserError, match=r"explain: method: this key is gone.*called methods: write methods: \[grad_cam\]"
    ):
        parse(Params, {"method": "grad_cam"}, "explain")


class Linear(nn.Module):
    """The score of class k is a weighted sum over the map's channels, cell by cell."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights, self.map = nn.Parameter(weights), nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        cells: torch.Tensor = self.map(x)
        return torch.einsum("bchw,kchw->bk", cells, self.weights)


def test_grad_cam_pp_weighs_by_the_derivatives_of_the_exponential() -> None:
    """The paper's weights from second and third derivatives, which autograd takes here one cell at a time."""
    generator = torch.Generator().manual_seed(0)
    network = Linear(torch.randn(2, 3, 2, 2, generator=generator) / 4)
    backbone = Backbone(
        network, {"block": ["weights"]}, 2, Normalisation((0.0,) * 3, (1.0,) * 3), cam=MapLayer("map", 3, 1)
    )
    model = Classifier(backbone, nn.Identity()).eval()
    images = 255 * torch.rand(1, 3, 2, 2, generator=generator)
    (heat,) = METHODS["grad_cam_pp"].maps(model, images, torch.tensor([1]))

    cells = (images / 255).double().requires_grad_()
    score = torch.einsum("bchw,chw->b", cells, network.weights[1].double()).exp().sum()
    (first,) = torch.autograd.grad(score, cells, create_graph=True)
    second, third = torch.zeros_like(cells), torch.zeros_like(cells)
    for place in np.ndindex(1, 3, 2, 2):
        (of_place,) = torch.autograd.grad(first[place], cells, create_graph=True)
        second[place] = of_place[place].detach()
        third[place] = torch.autograd.grad(of_place[place], cells, retain_graph=True)[0][place]
    # in the paper the score of a class grows with exp(S); its common factor cancels in alpha
    alpha = second / (2 * second + cells.detach().sum(dim=(2, 3), keepdim=True) * third)
    weights = (alpha * network.weights[1].double().relu()).sum(dim=(2, 3), keepdim=True)
    expected = (weights * cells.detach()).sum(dim=1).relu()[0]
    torch.testing.assert_close(heat.double(), expected, rtol=1e-4, atol=1e-6)


def test_eigen_cam_is_the_projection_on_the_first_singular_vector(small_cnn: Classifier, films: torch.Tensor) -> None:
    layer = small_cnn.backbone.cam
    assert layer is not None
    heat = eigen_cam.maps(small_cnn, films, torch.zeros(3, dtype=torch.long))
    with torch.no_grad():
        (cells,) = small_cnn.backbone.maps_of([layer], small_cnn.normalise(films))
    for own, table in zip(heat, cells.flatten(2).transpose(1, 2).double().numpy(), strict=True):
        projected = table @ np.linalg.svd(table)[2][0]
        projected = projected * np.sign(projected.sum())
        expected = torch.nn.functional.interpolate(
            torch.from_numpy(projected).reshape(1, 1, 2, 2), (32, 32), mode="bilinear"
        )
        torch.testing.assert_close(own.double(), expected[0, 0], rtol=1e-3, atol=1e-5)


def test_occlusion_equals_one_window_of_one_image_at_a_time(
    small_cnn: Classifier, films: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(occlusion, "WINDOW", 1 / 4)
    targets = torch.tensor([0, 1, 1])
    heat = occlusion.maps(small_cnn, films, targets)
    for image, target, own in zip(films, targets, heat, strict=True):
        loss, cover = np.zeros((32, 32)), np.zeros((32, 32))
        with torch.no_grad():
            whole = small_cnn(image[None]).log_softmax(dim=1)[0, target]
            for top in range(0, 25, 4):
                for left in range(0, 25, 4):
                    hidden = image.clone()
                    hidden[:, top : top + 8, left : left + 8] = image.mean()
                    loss[top : top + 8, left : left + 8] += float(
                        whole - small_cnn(hidden[None]).log_softmax(dim=1)[0, target]
                    )
                    cover[top : top + 8, left : left + 8] += 1
        assert own.numpy() == pytest.approx(loss / cover, abs=1e-5)


@pytest.mark.parametrize("size", [(24, 24), (50, 33)])
def test_windows_cover_every_pixel(size: tuple[int, int]) -> None:
    hidden = occlusion.windows(*size)
    assert hidden.any(dim=0).all()
    assert hidden.sum(dim=(1, 2)).unique().numel() == 1


def test_integrated_gradients_add_up_to_the_difference_from_a_grey_image(
    small_cnn: Classifier, films: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrated_gradients, "STEPS", 100)
    targets = torch.tensor([1, 0, 1])
    sums = integrated_gradients.attributions(small_cnn, films, targets).sum(dim=(1, 2, 3))
    with torch.no_grad():
        expected = log_probability(small_cnn, films, targets) - log_probability(
            small_cnn, grey(films).expand_as(films), targets
        )
    torch.testing.assert_close(sums, expected, rtol=0.05, atol=0.02)


def test_rollout_multiplies_the_attention_of_all_layers() -> None:
    """Attention computed here from the queries and keys of each block's own input."""
    torch.manual_seed(0)
    model = create("classification", Architecture(source="timm", name="vit_tiny_patch16_224"), 2).eval()
    network = model.backbone.network
    with torch.no_grad():
        for block in network.blocks:
            block.attn.qkv.weight.mul_(8)  # so that attention is not nearly even
    images = torch.randint(0, 256, (1, 1, 224, 224)).float()
    heat = rollout.maps(model, images, torch.tensor([0]))
    assert all(block.attn.fused_attn for block in network.blocks), "left as it was"

    flow = np.eye(197)
    with torch.no_grad():
        x = network._pos_embed(network.patch_embed(model.normalise(images)))
        for block in network.blocks:
            queries, keys, _ = block.attn.qkv(block.norm1(x)).reshape(1, 197, 3, 3, 64).permute(2, 0, 3, 1, 4)
            attention = (queries @ keys.transpose(2, 3) / 8).softmax(dim=3).mean(dim=1)[0].double().numpy()
            flow = (attention / 2 + np.eye(197) / 2) @ flow
            x = block(x)
    patches = torch.from_numpy(flow[0, 1:]).reshape(1, 1, 14, 14)
    expected = torch.nn.functional.interpolate(patches, (224, 224), mode="bilinear")[0, 0]
    torch.testing.assert_close(heat[0].double(), expected - expected.min(), rtol=0, atol=0.01 * float(expected.max()))


def test_own_attention_is_what_a_pixel_keeps_through_all_blocks(small_cnn: Classifier, films: torch.Tensor) -> None:
    network, kept = small_cnn.backbone.network, torch.ones(3, 32, 32)
    with torch.no_grad():
        x = network.stem(small_cnn.normalise(films))
        for block in network.blocks:
            before = block.attention[0](block.pool(torch.relu(block.norm(block.conv(x)))))
            x = block(x)
            channels = (x / before).nanmean(dim=1, keepdim=True)  # the gate is one number for all channels of a cell
            kept *= torch.nn.functional.interpolate(channels, (32, 32), mode="bilinear")[:, 0]
    heat = METHODS["own_attention"].maps(small_cnn, films, torch.zeros(3, dtype=torch.long))
    torch.testing.assert_close(heat, kept - kept.flatten(1).amin(dim=1)[:, None, None], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["grad_cam", "grad_cam_pp", "occlusion", "integrated_gradients"])
def test_the_heat_lies_where_the_model_reads(name: str, make_reader: Callable[..., Classifier]) -> None:
    weights = torch.zeros(8, 8)
    weights[1:3, 5:7] = 0.25
    image = np.random.default_rng(0).integers(120, 250, (1, 64, 64, 1), dtype=np.uint8)
    image[:, 8:24, 40:56] = 250
    (heat,) = heat_maps(METHODS[name], make_reader(weights), image, np.array([1]))
    assert heat[4:28, 36:60].sum() > 0.95 * heat.sum()
    assert heat.max() == 1


@pytest.mark.parametrize("name", ["grad_cam", "grad_cam_pp", "occlusion", "integrated_gradients"])
def test_a_map_is_empty_where_nothing_speaks_for_the_class(name: str, make_reader: Callable[..., Classifier]) -> None:
    weights = torch.zeros(8, 8)
    weights[1:3, 5:7] = 0.25
    image = np.full((1, 64, 64, 1), 100, dtype=np.uint8)
    image[:, 8:24, 40:56] = 250
    (heat,) = heat_maps(METHODS[name], make_reader(weights), image, np.array([0]))
    assert not heat.any()


def test_what_a_network_cannot_do_is_skipped_with_the_reason(small_cnn: Classifier) -> None:
    names, skipped = usable(["attention_rollout", "own_attention", "grad_cam"], METHODS, small_cnn)
    assert names == ["own_attention", "grad_cam"]
    assert skipped == {"attention_rollout": "SmallCNN is no transformer whose tokens attend to the whole image"}


def test_a_network_that_can_do_none_of_the_methods_is_told_which_it_can(small_cnn: Classifier) -> None:
    with pytest.raises(UserError, match=r"explain\.methods: attention_rollout: SmallCNN is no transformer.*grad_cam, "):
        usable(["attention_rollout"], METHODS, small_cnn)


@pytest.mark.parametrize("name", ["grad_cam", "grad_cam_pp", "attention_rollout", "own_attention"])
def test_a_method_works_on_the_device_of_the_model(name: str) -> None:
    """On the device that has shapes and no numbers: what mixes in a tensor of the CPU is refused."""
    source = ("timm", "vit_tiny_patch16_224") if name == "attention_rollout" else ("lightbox", "small_cnn")
    model = create("classification", Architecture(source=source[0], name=source[1]), 2).eval().to("meta")
    side = model.backbone.input_size[0]
    images = torch.zeros(2, 1, side, side, device="meta")
    heat = METHODS[name].maps(model, images, torch.zeros(2, dtype=torch.long, device="meta"))
    assert heat.shape == (2, side, side)
    assert heat.device.type == "meta"
