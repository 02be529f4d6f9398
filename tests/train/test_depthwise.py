"""Gradients of depthwise convolutions in bfloat16, against float64."""

import copy

import pytest
import torch
from torch import nn
from torchvision import models

from stages.shared.core.job import Job
from stages.shared.core.paths import Key
from stages.train import run
from stages.train.machine import depthwise
from stages.train.machine.depthwise import DepthwiseConv2d, quick_gradients

BF16 = torch.bfloat16
GEOMETRIES = [  # kernel, stride, padding, dilation, height and width, bias
    (3, 2, 1, 1, (12, 12), False),
    (3, 2, 1, 1, (11, 14), True),
    (5, 1, 2, 1, (9, 9), False),
    (5, 2, 2, 1, (13, 10), True),
    (5, 2, 0, 1, (12, 12), False),
    (7, 1, 3, 1, (10, 10), True),
    (3, 2, 2, 2, (12, 12), False),
    ((3, 5), (1, 2), (1, 2), 1, (10, 12), False),
]


def gradients(layer, images, slopes, dtype):
    images = images.detach().clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", BF16, enabled=dtype is BF16):
        outputs = layer(images)
    outputs.backward(slopes.to(outputs.dtype))
    return [outputs.detach(), images.grad, *(p.grad.clone() for p in layer.parameters())]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation", "size", "bias"), GEOMETRIES)
def test_gradients_are_as_close_to_float64_as_torchs_own_or_closer(
    kernel, stride, padding, dilation, size, bias, layout
):
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 6, kernel, stride, padding, dilation, groups=6, bias=bias).to(memory_format=layout)
    images = torch.randn(4, 6, *size).to(BF16).float().contiguous(memory_format=layout)
    for parameter in layer.parameters():
        parameter.data = parameter.data.to(BF16).float()  # what bfloat16 sees
    slopes = torch.randn_like(layer(images)).to(BF16).float()
    exact = gradients(copy.deepcopy(layer).double(), images.double(), slopes.double(), torch.float64)
    usual = gradients(layer, images, slopes, BF16)
    quick_gradients(layer_in := nn.Sequential(copy.deepcopy(layer)))
    assert type(layer_in[0]) is DepthwiseConv2d
    ours = gradients(layer_in[0], images, slopes, BF16)
    for mine, torchs, right in zip(ours, usual, exact, strict=True):
        assert mine.dtype == torchs.dtype
        scale = right.abs().max()
        error, its = ((g.double() - right).abs().max() / scale for g in (mine, torchs))
        assert error <= max(1.01 * its, 2**-8)


def test_without_autocast_or_gradients_it_is_torchs_own():
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 4, 5, 2, 2, groups=4)
    quick_gradients(quick := nn.Sequential(copy.deepcopy(plain)))
    images, slopes = torch.randn(2, 4, 9, 9), torch.randn(2, 4, 5, 5)
    for a, b in zip(
        gradients(plain, images, slopes, torch.float32),
        gradients(quick[0], images, slopes, torch.float32),
        strict=True,
    ):
        assert torch.equal(a, b)
    with torch.no_grad(), torch.autocast("cpu", BF16):
        assert torch.equal(plain(images), quick(images))


def test_images_that_need_no_gradient_get_none_and_frozen_weights_too():
    torch.manual_seed(0)
    quick_gradients(model := nn.Sequential(nn.Conv2d(4, 4, 5, 2, 2, groups=4)))
    images = torch.randn(2, 4, 9, 9)
    with torch.autocast("cpu", BF16):
        model(images).sum().backward()
    assert images.grad is None
    assert model[0].weight.grad is not None
    model.requires_grad_(False).zero_grad()
    images.requires_grad_()
    with torch.autocast("cpu", BF16):
        model(images).sum().backward()
    assert images.grad is not None
    assert model[0].weight.grad is None


def test_only_layers_that_gain_change_and_nothing_else_of_the_model_does():
    model = models.efficientnet_b0(weights=None)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    quick_gradients(model)
    changed = [m for m in model.modules() if isinstance(m, DepthwiseConv2d)]
    # of its 16 depthwise layers 4 halve the image, two of them 5×5; 7 more of 5×5 do not
    assert len(changed) == 11
    assert all(m.groups > 1 and (m.stride[0] == 2 or m.kernel_size == (5, 5)) for m in changed)
    assert {n: torch.equal(t, model.state_dict()[n]) for n, t in before.items()} == dict.fromkeys(before, True)
    twin = copy.deepcopy(model)  # as the moving average of weights has it
    mine, other = (next(m for m in each.modules() if isinstance(m, DepthwiseConv2d)) for each in (model, twin))
    other.weight.data.zero_()
    with torch.autocast("cpu", BF16):
        answer = other(torch.randn(1, other.in_channels, 8, 8))
    assert not answer.any()
    assert mine.weight.any()


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 8, 5, groups=4),
        nn.Conv2d(4, 4, 5, groups=2),
        nn.Conv2d(1, 1, 5),
        nn.Conv2d(4, 4, 5, padding="same", groups=4),
        nn.Conv2d(4, 4, 5, padding=2, padding_mode="reflect", groups=4),
    ],
    ids=["3x3", "two filters a channel", "grouped", "one channel", "same", "reflect"],
)
def test_other_convolutions_stay(layer):
    quick_gradients(model := nn.Sequential(layer))
    assert type(model[0]) is nn.Conv2d


def test_a_training_computes_its_gradients_so(processed, train_params, monkeypatch):
    used = []
    compute = depthwise.conv2d_weight

    def note(*inputs):
        used.append(inputs[0].dtype)
        return compute(*inputs)

    monkeypatch.setattr(depthwise, "conv2d_weight", note)
    backbone = {"source": "torchvision", "name": "mobilenet_v3_small"}
    key = Key("mobilenet_v3_small", "from_scratch", "full")
    machine = {"precision": "bf16-mixed", "channels_last": True, "trainer": {"accelerator": "cpu"}}
    result = run(train_params(epochs=1, backbone=backbone, **machine), Job(key))
    assert (result.model / "weights.safetensors").exists()
    assert set(used) == {torch.float32, BF16}
