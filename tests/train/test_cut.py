"""The cut against the uncut network: outputs, gradients, randomness, and who owns the weights."""

import pytest
import torch
from torch import nn

from stages.shared.model.backbones.base import Backbone, Normalisation
from stages.shared.model.model import Classifier
from stages.shared.model.recipe import Architecture
from stages.shared.tasks.models import create
from stages.train.features.cut import NoCut, split


def classifier(source: str, name: str) -> Classifier:
    torch.manual_seed(0)
    model = create("classification", Architecture(source=source, name=name), 3)
    for module in model.modules():  # as if trained: statistics that matter
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2.0)
    return model


def images(count: int = 4, side: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def train_mode(model: Classifier, frozen: list[str]) -> None:
    model.train()
    for block in model.backbone.blocks:
        for parameter in model.backbone.parameters_of(block):
            parameter.requires_grad_(block not in frozen)
    for block in frozen:
        for module in model.backbone.modules_of(block):
            module.eval()


def gradients(model: Classifier, logits: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad(set_to_none=True)
    logits.pow(2).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def without_chance(model: Classifier) -> None:
    for module in model.modules():
        if type(module).__name__ in ("Dropout", "StochasticDepth", "DropPath"):
            module.p = 0.0


NETWORKS = [
    ("lightbox", "small_cnn", 64, (1, 3, 5)),
    ("torchvision", "vgg16", 32, (4,)),
    ("torchvision", "alexnet", 64, (3,)),
    ("torchvision", "resnet18", 64, (1, 4, 5)),
    ("torchvision", "densenet121", 64, (4,)),
    ("torchvision", "efficientnet_b0", 64, (5,)),
    ("torchvision", "mobilenet_v3_small", 64, (3,)),
    ("timm", "resnet10t", 64, (2,)),
]


@pytest.mark.parametrize(("source", "name", "side", "counts"), NETWORKS)
def test_prefix_and_tail_are_the_network_and_the_tail_learns_as_the_network_does(source, name, side, counts):
    model = classifier(source, name)
    without_chance(model)
    blocks = list(model.backbone.blocks)
    for count in counts:
        frozen = blocks[:count]
        train_mode(model, frozen)
        prefix, tail = split(model, frozen, (1, side, side))
        features = prefix(images(side=side))
        assert not any(tensor.requires_grad for tensor in features)
        state = {n: b.clone() for n, b in model.named_buffers()}
        expected = model(images(side=side))
        expected_gradients = gradients(model, expected)
        for n, b in model.named_buffers():
            b.copy_(state[n])
        logits = tail(*features)
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
        tail_gradients = gradients(model, logits)
        assert tail_gradients.keys() == expected_gradients.keys()
        for n in expected_gradients:
            torch.testing.assert_close(tail_gradients[n], expected_gradients[n], rtol=1e-4, atol=1e-5)


class Attention(nn.Module):
    """A transformer's skeleton: class token, positions, a batch size that crosses the cut, dropout between blocks."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.positions = nn.Parameter(torch.randn(1, 65, 8))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True) for _ in range(2)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, _, h, w = x.shape
        x = self.patch(x).reshape(n, 8, (h // 8) * (w // 8)).permute(0, 2, 1)
        x = torch.cat([self.token.expand(n, -1, -1), x], dim=1) + self.positions
        return self.blocks(self.dropout(x))[:, 0]


def attention(blocks: dict[str, list[str]], dropout: float = 0.0) -> Classifier:
    torch.manual_seed(0)
    normalisation = Normalisation((0.5,) * 3, (0.5,) * 3)
    return Classifier(Backbone(Attention(dropout), blocks, 8, normalisation), nn.Linear(8, 3))


BY_BLOCK = {"stem": ["token", "positions", "patch"], "block1": ["blocks.0"], "block2": ["blocks.1"]}
TOKEN_LATE = {"patch": ["patch"], "token": ["token", "positions"], "block1": ["blocks.0"], "block2": ["blocks.1"]}


@pytest.mark.parametrize(("blocks", "count"), [(BY_BLOCK, 1), (BY_BLOCK, 2), (TOKEN_LATE, 1), (TOKEN_LATE, 3)])
def test_loose_parameters_and_sizes_may_lie_on_either_side(blocks, count):
    model = attention(blocks)
    prefix, tail = split(model, list(blocks)[:count], (1, 64, 64))
    for size in (1, 5):
        torch.testing.assert_close(tail(*prefix(images(size))), model.eval()(images(size)), rtol=1e-5, atol=1e-5)


def test_dropout_between_blocks_stays_alive_and_is_never_kept():
    """It draws in training, whatever is frozen around it; the transformer's blocks behind it are then no prefix."""
    kept, moved = (
        split(attention(BY_BLOCK, p), ["stem", "block1"], (1, 64, 64))[0].code.count("self.") for p in (0.0, 0.5)
    )
    assert moved < kept
    model = attention(BY_BLOCK, 0.5)
    prefix, tail = split(model, list(BY_BLOCK), (1, 64, 64))
    features = prefix(images())
    model.train()
    assert not torch.equal(tail(*features), tail(*features))
    model.eval()
    torch.testing.assert_close(tail(*features), model(images()))


class Ending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.last = (
            nn.Conv2d(3, 4, 3),
            nn.Sequential(nn.Flatten(), nn.Linear(4 * 62 * 62, 8), nn.Dropout(0.5)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.one(x))


def test_dropout_behind_the_last_block_is_in_the_tail_too():
    blocks = {"one": ["one"], "two": ["last.1"]}
    model = Classifier(Backbone(Ending(), blocks, 8, Normalisation((0.5,) * 3, (0.5,) * 3)), nn.Linear(8, 3))
    prefix, tail = split(model, list(blocks), (1, 64, 64))
    features = prefix(images())
    train_mode(model, list(blocks))
    assert not torch.equal(tail(*features), tail(*features))
    model.eval()
    torch.testing.assert_close(tail(*features), model(images()))


def test_a_step_of_the_tail_is_a_step_of_the_model():
    model = classifier("lightbox", "small_cnn")
    frozen = list(model.backbone.blocks)[:-1]
    train_mode(model, frozen)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    prefix, tail = split(model, frozen, (1, 64, 64))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tail(*prefix(images())).pow(2).sum().backward()
    optimizer.step()
    changed = {
        n.split(".")[0] + "." + n.split(".")[3]
        for n, v in model.state_dict().items()
        if not v.equal(before[n]) and "network" in n
    }
    assert changed == {"backbone.3"}
    assert not model.head[-1].weight.equal(before["head.1.weight"])


def test_cutting_leaves_modes_statistics_and_random_numbers_alone():
    model = classifier("torchvision", "efficientnet_b0")
    train_mode(model, ["stem"])
    modes = [module.training for module in model.modules()]
    state, random = {n: v.clone() for n, v in model.state_dict().items()}, torch.get_rng_state()
    prefix, _ = split(model, ["stem"], (1, 64, 64))
    prefix(images())
    assert modes == [module.training for module in model.modules()]
    assert all(value.equal(state[name]) for name, value in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())


class Odd(nn.Module):
    """Looks at its pixels to choose its way: nothing that can be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.one(x)
        return (self.two(x) if x.mean() > 0 else x).mean(dim=(2, 3))


class TwoWays(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(self.two(self.one(x)), 0.5, self.training).mean(dim=(2, 3))


@pytest.mark.parametrize(("network", "reason"), [(Odd, "cannot trace"), (TwoWays, "another way in training")])
def test_what_cannot_be_cut_says_why(network, reason):
    backbone = Backbone(network(), {"one": ["one"], "two": ["two"]}, 4, Normalisation((0.5,) * 3, (0.5,) * 3))
    with pytest.raises(NoCut, match=reason):
        split(Classifier(backbone, nn.Linear(backbone.feature_count, 2)), ["one"], (1, 64, 64))


def test_an_untraceable_network_can_be_kept_as_a_whole():
    backbone = Backbone(Odd(), {"one": ["one"], "two": ["two"]}, 4, Normalisation((0.5,) * 3, (0.5,) * 3))
    model = Classifier(backbone, nn.Linear(backbone.feature_count, 2)).eval()
    prefix, tail = split(model, ["one", "two"], (1, 64, 64))
    torch.testing.assert_close(tail(*prefix(images())), model(images()))


def test_only_leading_blocks_are_a_prefix():
    model = classifier("lightbox", "small_cnn")
    names = list(model.backbone.blocks)
    with pytest.raises(NoCut, match="first block"):
        split(model, names[1:], (1, 64, 64))
    prefix, _ = split(model, [names[0], names[1], names[3]], (1, 64, 64))
    assert prefix.blocks == tuple(names[:2])
