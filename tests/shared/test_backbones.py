"""Every declared backbone passes the same test. Each network is made once; pytest groups the tests by network."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stages import backbones_table
from stages.explain.methods import METHODS, integrated_gradients, occlusion
from stages.explain.methods.method import heat_maps, usable
from stages.shared.core import settings
from stages.shared.core.errors import UserError
from stages.shared.model.backbones.build import build
from stages.shared.model.recipe import WEIGHTS, Architecture, Recipe
from stages.shared.model.store import save
from stages.shared.tasks.classification import make_loss, watch
from stages.shared.tasks.models import create, load
from stages.train.batches import Batch
from stages.train.loop.module import Learner
from stages.train.params.backbone import Backbone
from stages.train.plan.strategies import make_plan
from stages.train.recipe.schedules import Schedule

DECLARED = {
    "small_cnn": ("lightbox", 64),
    "vgg16": ("torchvision", 64),
    "alexnet": ("torchvision", 64),
    "resnet18": ("torchvision", 64),
    "resnet34": ("torchvision", 64),
    "resnet50": ("torchvision", 64),
    "densenet121": ("torchvision", 64),
    "efficientnet_b0": ("torchvision", 64),
    "efficientnet_lite0": ("timm", 64),
    "mobilenet_v3_small": ("torchvision", 64),
    "vit_b_16": ("torchvision", 224),
    "inception_resnet_v2": ("timm", 96),
    "vit_base_patch16_224": ("timm", 224),
}  # name -> source, smallest handy image size
NETWORKS = {"efficientnet_lite0": "tf_efficientnet_lite0"}  # where it has another name at its source


@pytest.fixture(scope="module", params=DECLARED)
def built(request):
    """The classifier in eval mode, not to be changed, with its name and image size."""
    torch.manual_seed(0)
    source, size = DECLARED[request.param]
    architecture = Architecture(source=source, name=NETWORKS.get(request.param, request.param))
    return SimpleNamespace(
        architecture=architecture, size=size, model=create("classification", architecture, 2).eval(), name=request.param
    )


@pytest.fixture
def films(built):
    generator = torch.Generator().manual_seed(1)
    count = 1 if built.size == 224 else 2  # the large ones have no BatchNorm, and take their time
    return torch.randint(0, 256, (count, 1, built.size, built.size), dtype=torch.uint8, generator=generator)


def test_images_become_features_and_logits(built, films):
    backbone = built.model.backbone
    with torch.no_grad():
        features = backbone(built.model.normalise(films))
    assert features.shape == (len(films), backbone.feature_count)
    assert built.model.head(features).shape == (len(films), 2)
    assert features.std() > 0


AVERAGED = {*DECLARED} - {
    "mobilenet_v3_small",
    "vit_b_16",
    "vit_base_patch16_224",
}  # their features: the last map's mean


def test_maps_are_in_order_and_the_last_one_is_what_becomes_the_features(built, films):
    backbone = built.model.backbone
    images = built.model.normalise(films)
    with torch.no_grad():
        features, maps = backbone.features(images), backbone.maps(images)
        assert torch.equal(features, backbone(images))
    assert len(maps) == len(backbone.map_layers) >= 4
    order = list(backbone.blocks)
    places = [order.index(block) for block in backbone.map_layers]
    assert places == sorted(places)
    assert places[-1] >= len(order) - 2  # behind mobilenet's last map comes a block without one
    assert [m.shape[:2] for m in maps] == [(len(films), layer.channels) for layer in backbone.map_layers.values()]
    assert all(m.shape[2] == m.shape[3] for m in maps)
    sides = [m.shape[2] for m in maps]
    assert sides == sorted(sides, reverse=True)
    if built.name != "inception_resnet_v2":  # it does not pad, so that small images lose much of their sides
        assert all(
            abs(side - built.size / layer.stride) <= 1
            for side, layer in zip(sides, backbone.map_layers.values(), strict=True)
        )
    if built.name in AVERAGED:
        torch.testing.assert_close(maps[-1].mean(dim=(2, 3)), features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("built", [name for name in DECLARED if "vit" in name], indirect=True)
def test_maps_of_tokens_lie_where_the_patches_do(built, films):
    """A patch that changes, before any attention, changes its own cell of the first map and no other."""
    images = built.model.normalise(films)
    changed = images.clone()
    changed[..., 32:48, 80:96] += 1  # row 2, column 5 of 16 × 16 pixels
    with torch.no_grad():
        before, after = (built.model.backbone.maps(x)[0] for x in (images, changed))
    assert (after - before).abs().sum(dim=(0, 1)).nonzero().tolist() == [[2, 5]]


def test_blocks_cover_every_parameter_exactly_once(built):
    backbone = built.model.backbone
    covered = [id(p) for block in backbone.blocks for p in backbone.parameters_of(block)]
    assert sorted(covered) == sorted(id(p) for p in backbone.network.parameters())
    assert all(list(backbone.parameters_of(block)) for block in backbone.blocks)
    assert len(backbone.blocks) >= 4


def test_blocks_come_in_the_order_of_the_forward_pass(built, films):
    backbone, called, hooks = built.model.backbone, [], []
    place = {block: i for i, block in enumerate(backbone.blocks)}
    for name, module in backbone.network.named_modules():
        if own := [n for n, _ in module.named_parameters(recurse=False)]:
            block = backbone.block_of(".".join(filter(None, (name, own[0]))))
            if name:
                hooks.append(module.register_forward_pre_hook(lambda *_, at=place[block]: called.append(at)))
    with torch.no_grad():
        built.model(films)
    for hook in hooks:
        hook.remove()
    assert called == sorted(called)
    assert set(called) == set(place.values())


@pytest.mark.parametrize("built", [n for n, (source, _) in DECLARED.items() if source != "lightbox"], indirect=True)
def test_features_are_those_of_the_original_network(built, films):
    images = built.model.normalise(films)
    backbone = built.model.backbone
    expected = originals_features(
        built.architecture.name, built.architecture.source, backbone.network.state_dict(), images
    )
    with torch.no_grad():
        features = backbone(images)
    assert (features - expected).abs().max() <= 1e-5 * expected.abs().max().clamp_min(1)


@torch.no_grad()
def originals_features(name, source, weights, images):
    """What reaches the original's head, once it has the same weights."""
    if source == "timm":
        import timm

        original = empty(lambda: timm.create_model(name, pretrained=False), weights)
        return original.forward_head(original.forward_features(images), pre_logits=True)
    from torchvision import models

    original = empty(lambda: models.get_model(name, num_classes=2), weights)
    if name in ("vgg16", "alexnet"):  # their fully connected layers are left away: the average of the last map
        return original.features(images).mean(dim=(2, 3))
    head_inputs = []
    head = [m for m in original.modules() if isinstance(m, torch.nn.Linear)][-1]
    head.to_empty(device="cpu").register_forward_pre_hook(lambda _, inputs: head_inputs.append(inputs[0]))
    original(images)
    return head_inputs[0]


def empty(make, weights):
    """Made without numbers, and given the backbone's: all of them have to find their place."""
    with torch.device("meta"):
        original = make().eval()
    assert original.load_state_dict(weights, strict=False, assign=True).unexpected_keys == []
    return original


def test_a_saved_model_comes_back_the_same(built, films, tmp_path):
    recipe = Recipe(
        key="a-b-c", architecture=built.architecture, classes=["normal", "sick"], size=(built.size, built.size),
        preprocess={"mode": "grey", "size": built.size, "steps": []}, params={}, data="", best_epoch=0, weights_sha256="",
    )  # fmt: skip
    save(built.model, recipe, tmp_path)
    loaded, recipe = load(tmp_path)
    assert recipe.architecture == built.architecture
    (tmp_path / WEIGHTS).unlink()  # pytest keeps the folders of three runs
    with torch.no_grad():
        assert torch.equal(loaded(films), built.model(films))


CANNOT = {"attention_rollout": lambda name: "vit" not in name, "own_attention": lambda name: name != "small_cnn"}


def test_every_method_gives_a_map_of_every_network_that_it_fits(built, films, monkeypatch):
    monkeypatch.setattr(occlusion, "WINDOW", 0.9)  # few windows and steps: the values are tested elsewhere
    monkeypatch.setattr(integrated_gradients, "STEPS", 2)
    names, skipped = usable(list(METHODS), METHODS, built.model)
    assert set(skipped) == {method for method, cannot in CANNOT.items() if cannot(built.name)}
    for name in names:
        maps = heat_maps(METHODS[name], built.model, np.asarray(films.permute(0, 2, 3, 1)), np.arange(len(films)))
        assert maps.shape == (len(films), built.size, built.size), name
        assert np.isfinite(maps).all(), name
        assert maps.min() >= 0, name
        assert maps.max() in (0, pytest.approx(1)), name


def test_the_table_in_the_docs_says_what_the_network_is(built, repository):
    raw = settings.read(repository / "params.yaml")
    choice = Backbone.model_validate(raw["backbones"][built.name])
    page = (repository / "docs" / "backbones.md").read_text()
    assert backbones_table.row(built.name, choice, built.model.backbone) in page


def test_the_table_lists_what_params_declare_and_no_more(repository):
    page = (repository / "docs" / "backbones.md").read_text()
    assert page.startswith(backbones_table.HEADING)
    rows = page.removeprefix(backbones_table.HEADING).splitlines()
    declared = settings.read(repository / "params.yaml")["backbones"]
    assert [row.split("`")[1] for row in rows] == list(declared)
    assert set(declared) == set(DECLARED)


# last in the file, for it changes the model
def test_a_training_step_changes_exactly_what_the_strategy_allows(built, films, train_params):
    model = built.model
    source = built.architecture.source
    params = train_params(
        backbone={"source": source, "name": built.architecture.name, "weights": "some.safetensors"},
        strategy={"plan": "fine_tune", "last_blocks": 1},
    )
    backbone, last = model.backbone, list(model.backbone.blocks)[-1]
    learner = Learner(
        model,
        make_plan(params.strategy, list(backbone.blocks), 3),
        loss=make_loss(params.loss, torch.ones(2)),
        watched=watch(2),
        optimizer=params.optimizer,
        schedule=Schedule(params.schedule, 3, 1, "min"),
        monitor="val_loss",
        seed=0,
    )
    learner.trainer = SimpleNamespace(
        world_size=1, current_epoch=0, global_rank=0, global_step=0, accumulate_grad_batches=1
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learner.train()
    optimizer = learner.configure_optimizers()
    batch = Batch((films,), torch.arange(len(films)), torch.arange(len(films)), len(films))
    learner.training_step(batch, 0).backward()
    learner.on_before_optimizer_step(optimizer)
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    allowed = {f"backbone.network.{n}" for n, _ in backbone.network.state_dict().items() if in_block(backbone, n, last)}
    learning = {f"backbone.network.{n}" for n, _ in backbone.network.named_parameters() if backbone.block_of(n) == last}
    heads = {f"head.{n}" for n, _ in model.head.named_parameters()}
    assert changed <= allowed | heads
    assert learning | heads <= changed | silent(model)
    assert learning & changed
    assert heads & changed


def in_block(backbone, name, block):
    return any(name == part or name.startswith(f"{part}.") for part in backbone.blocks[block])


def silent(model):
    """Parameters whose gradient is next to nothing, such as those behind a dead ReLU."""
    return {name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-7}


def test_small_cnn_is_small():
    backbone = build(Architecture(source="lightbox", name="small_cnn"))
    assert 400_000 < sum(p.numel() for p in backbone.parameters()) < 600_000


def test_blocks_have_the_names_that_people_use():
    vgg = build(Architecture(source="torchvision", name="vgg16"))
    assert list(vgg.blocks) == ["block1", "block2", "block3", "block4", "block5"]
    assert vgg.blocks["block5"] == ["features.24", "features.26", "features.28"]
    assert vgg.feature_count == 512
    assert build(Architecture(source="torchvision", name="resnet18")).blocks == {
        "stem": ["conv1", "bn1"], "block1": ["layer1"], "block2": ["layer2"], "block3": ["layer3"], "block4": ["layer4"],
    }  # fmt: skip
    dense = build(Architecture(source="torchvision", name="densenet121"))
    assert dense.blocks["block3"] == ["features.denseblock3", "features.transition3"]
    assert list(dense.blocks)[-1] == "block4"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("torchvision", "googlenet"),
        ("torchvision", "inception_v3"),
        ("torchvision", "squeezenet1_1"),
        ("torchvision", "shufflenet_v2_x0_5"),
        ("torchvision", "mnasnet0_5"),
        ("timm", "convnext_atto"),
        ("timm", "swin_s3_tiny_224"),
        ("timm", "mobilenetv3_small_100"),
    ],
)
def test_networks_nobody_declared_work_by_name(source, name):
    """Auxiliary outputs, a convolution for a head, channels last, a hidden layer before the head."""
    model = create("classification", Architecture(source=source, name=name), 3)
    size = model.backbone.input_size[0] if model.backbone.fixed_size else 96
    images = torch.randint(0, 256, (2, 1, size, size), dtype=torch.uint8)
    model.train()(images).sum().backward()
    heat = heat_maps(METHODS["grad_cam"], model, np.asarray(images.permute(0, 2, 3, 1)), np.array([0, 1]))
    assert heat.shape == (2, size, size)
    assert np.isfinite(heat).all()


def test_the_dropout_before_the_head_is_ours_alone():
    for name in ("efficientnet_b0", "mobilenet_v3_small", "googlenet"):
        network = build(Architecture(source="torchvision", name=name)).network
        assert not [m for m in network.modules() if isinstance(m, torch.nn.Dropout)]


def test_the_tag_decides_the_normalisation():
    """As timm publishes them."""
    old, new = (
        build(Architecture(source="timm", name=f"efficientnet_b0.{tag}")) for tag in ("ra_in1k", "ra4_e3600_r224_in1k")
    )
    assert old.normalisation.mean == pytest.approx((0.485, 0.456, 0.406))
    assert new.normalisation.mean == (0.5, 0.5, 0.5)


def test_inceptions_weights_want_their_own_normalisation():
    """torchvision gives them the same numbers, by undoing ImageNet's normalisation inside the network."""
    from torchvision import models

    original = models.inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    model = create("classification", Architecture(source="torchvision", name="inception_v3"), 2).eval()
    film = torch.randint(0, 256, (1, 3, 75, 75), dtype=torch.uint8)
    imagenet = (film / 255 - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(1, 3, 1, 1)
    assert torch.allclose(original._transform_input(imagenet), model.normalise(film), atol=1e-5)


def test_a_size_that_a_transformer_cannot_take_names_the_right_one():
    model = create("classification", Architecture(source="timm", name="vit_tiny_patch16_224"), 2)
    with pytest.raises(UserError, match=r"exactly 224×224 and was given 96×96. Set preprocess.size: 224"):
        model(torch.zeros(1, 1, 96, 96, dtype=torch.uint8))


def test_an_unknown_name_gives_the_nearest_right_one():
    for source, wrong, right in (
        ("torchvision", "resnet81", "resnet18"),
        ("lightbox", "smal_cnn", "small_cnn"),
        ("timm", "inception_resnet_v3", "inception_resnet_v2"),
    ):
        with pytest.raises(UserError, match=f"'{wrong}' is not known. Did you mean '{right}'"):
            build(Architecture(source=source, name=wrong))
    with pytest.raises(
        UserError, match="tag of timm's 'inception_resnet_v2': 'tf_in2k' is not known. Did you mean 'tf_in1k'"
    ):
        build(Architecture(source="timm", name="inception_resnet_v2.tf_in2k"))


def test_grey_goes_in_as_three_equal_channels():
    model = create("classification", Architecture(source="lightbox", name="small_cnn"), 2).eval()
    grey = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    assert torch.allclose(model(grey), model(grey.repeat(1, 3, 1, 1)), atol=1e-6)


def test_the_head_is_a_linear_layer_unless_hidden_layers_are_asked_for():
    plain = create("classification", Architecture(source="lightbox", name="small_cnn", dropout=0.2), 3)
    assert {n for n, _ in plain.head.named_parameters()} == {"1.weight", "1.bias"}
    head = {"hidden": [64, 16], "norm": "batch", "activation": "gelu"}
    deep = create("classification", Architecture(source="lightbox", name="small_cnn", dropout=0.2, head=head), 3).head
    assert [type(layer).__name__ for layer in deep] == [
        "Dropout", "Linear", "BatchNorm1d", "GELU", "Dropout", "Linear", "BatchNorm1d", "GELU", "Dropout", "Linear",
    ]  # fmt: skip
    assert [(m.in_features, m.out_features) for m in deep if isinstance(m, torch.nn.Linear)] == [
        (288, 64),
        (64, 16),
        (16, 3),
    ]
    assert all(m.p == 0.2 for m in deep if isinstance(m, torch.nn.Dropout))


def test_blocks_that_the_forward_pass_mixes_become_one():
    from stages.shared.model.backbones.timm import in_order

    groups = [["a"], ["b", "c.0"], ["c.1"], ["d"]]
    assert in_order(groups, ["a", "b.x", "c.0", "c.1", "d"]) == groups
    assert in_order(groups, ["a", "b.x", "c.1", "c.0", "d"]) == [["a"], ["b", "c.0", "c.1"], ["d"]]


def test_a_network_that_cannot_be_cut_is_refused_by_name():
    with pytest.raises(UserError, match=r"timm's 'csatv2' does not say how its layers are grouped.*Choose another"):
        build(Architecture(source="timm", name="csatv2"))


def test_the_maps_have_the_resolutions_that_people_expect():
    """As in the papers' tables, of 224 pixels: channels and pixels per cell."""
    expected = {
        "vgg16": [(64, 2), (128, 4), (256, 8), (512, 16), (512, 32)],
        "resnet18": [(64, 2), (64, 4), (128, 8), (256, 16), (512, 32)],
        "densenet121": [(64, 2), (128, 8), (256, 16), (512, 32), (1024, 32)],
    }
    for name, layers in expected.items():
        with torch.device("meta"):
            backbone = build(Architecture(source="torchvision", name=name))
        assert [(layer.channels, layer.stride) for layer in backbone.map_layers.values()] == layers


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16"])
def test_maps_carry_gradients_leave_modes_alone_and_work_in_bf16(name):
    backbone = build(Architecture(source="torchvision", name=name)).to(memory_format=torch.channels_last)
    frozen = backbone.modules_of(next(iter(backbone.blocks)))
    for module in frozen:
        module.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = backbone.maps(torch.rand(2, 3, 224, 224).contiguous(memory_format=torch.channels_last))
    maps[2].float().mean().backward()
    third = list(backbone.map_layers)[2]
    assert all(p.grad is not None for p in backbone.parameters_of(third))
    assert not any(p.grad is not None for p in backbone.parameters_of(list(backbone.blocks)[-1]))
    assert not any(module.training for module in frozen)
    assert backbone.training


def test_a_network_without_maps_says_which_have_them():
    backbone = build(Architecture(source="lightbox", name="small_cnn"))
    backbone.map_layers = {}
    with pytest.raises(
        UserError, match="no block of SmallCNN ends in a map of the image. Choose one .*: small_cnn, VGG"
    ):
        backbone.maps(torch.zeros(1, 3, 64, 64))


def test_the_table_is_written_for_whatever_params_declare(tmp_path):
    raw = {"backbones": {"mine": {"source": "timm", "name": "test_vit", "weights": "r160_in1k"}}}
    backbones_table.write(raw, tmp_path / "backbones.md")
    row = (tmp_path / "backbones.md").read_text().splitlines()[-1]
    assert row.startswith("| `mine` | timm: test_vit | ")
    assert row.endswith(" | 160 × 160, no other | `r160_in1k` |")
