import re

import pytest
import torch
from safetensors.torch import save_file

from stages.shared.backbones import build
from stages.shared.errors import UserError
from stages.shared.recipe import Architecture
from stages.train.params import Backbone
from stages.train.weights import fill, load_pretrained

SMALL = Architecture(source="lightbox", name="small_cnn")
RESNET = Architecture(source="torchvision", name="resnet18")


def choice(weights, name="small_cnn", source="lightbox"):
    return Backbone(source=source, name=name, weights=str(weights))


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
    from stages.shared.model import create

    source, target = create(SMALL, classes=5), build(SMALL)
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
