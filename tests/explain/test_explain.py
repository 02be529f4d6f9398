from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from PIL import Image
from sklearn.metrics import roc_auc_score

from stages import evaluate, train
from stages.explain import Params, run
from stages.explain.cases.classification import choose
from stages.explain.methods import METHODS
from stages.explain.methods.method import heat_maps
from stages.shared.core.files import read_json, sha256
from stages.shared.core.job import Job
from stages.shared.core.paths import Key
from stages.shared.model.backbones.base import Backbone, MapLayer, Normalisation
from stages.shared.model.model import Classifier
from stages.shared.model.recipe import Architecture
from stages.shared.tasks.models import create

KEY = Key("small_cnn", "from_scratch", "full")


def predictions(n=60):
    rng = np.random.default_rng(0)
    label = pd.Categorical.from_codes(rng.integers(0, 2, n), ["normal", "sick"])
    prob = rng.random(n)
    return pd.DataFrame(
        {
            "path": [f"p{i // 2}_{i}.png" for i in range(n)],
            "label": label,
            "patient": [f"p{i // 2}" for i in range(n)],
            "split": np.where(np.arange(n) < 10, "val", "test"),
            "predicted": pd.Categorical.from_codes((prob > 0.5).astype(int), ["normal", "sick"]),
            "prob_normal": 1 - prob,
            "prob_sick": prob,
        }
    )


@pytest.mark.parametrize("how", ["random", "confident", "uncertain"])
def test_right_and_wrong_test_cases_of_each_class_are_chosen(how):
    chosen = choose(predictions(), ["normal", "sick"], Params(right=2, wrong=3, choose=how))
    assert chosen.groupby(["label", "correct"], observed=True).size().to_dict() == {
        ("normal", False): 3, ("normal", True): 2, ("sick", False): 3, ("sick", True): 2,
    }  # fmt: skip
    assert set(chosen["split"]) == {"test"}
    assert not chosen.duplicated(["patient", "label", "correct"]).any()


def test_confident_takes_the_surest_and_uncertain_the_least_sure():
    table = predictions()
    test = table[table["split"] == "test"].assign(confidence=table[["prob_normal", "prob_sick"]].max(axis=1))
    wrong = test[(test["label"] == "sick") & (test["predicted"] == "normal")]
    sure, unsure = (
        choose(table, ["normal", "sick"], Params(right=0, wrong=1, choose=how)).iloc[-1]
        for how in ("confident", "uncertain")
    )
    assert sure["confidence"] == wrong["confidence"].max()
    assert unsure["confidence"] == wrong["confidence"].min()


def test_grad_cam_equals_its_definition():
    """As captum has it, which knows maps but no tokens."""
    torch.manual_seed(0)
    model = create("classification", Architecture(source="lightbox", name="small_cnn"), 2).eval()
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1), dtype=np.uint8)
    heat = heat_maps(METHODS["grad_cam"], model, images, np.array([0, 1, 1]))

    layer = model.backbone.network.get_submodule(model.backbone.cam.module)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    maps = LayerGradCam(model, layer).attribute(tensor, target=torch.tensor([0, 1, 1]), relu_attributions=True)
    maps = LayerAttribution.interpolate(maps, (64, 64), "bilinear")[:, 0].detach()
    peaks = maps.flatten(1).amax(dim=1).clamp_min(1e-12)
    assert heat == pytest.approx((maps / peaks[:, None, None]).numpy(), abs=1e-4)


class BrightSpots(torch.nn.Module):
    """A network with a known answer: its one feature is how much of the image is bright, cell by cell."""

    def __init__(self):
        super().__init__()
        self.cells, self.bright = torch.nn.AvgPool2d(8), torch.nn.ReLU()

    def forward(self, x):
        return self.bright(self.cells(x)[:, :1] - 1).mean(dim=(2, 3))


def test_the_heat_map_lies_where_the_evidence_is():
    network = BrightSpots()
    backbone = Backbone(network, {}, 1, Normalisation((0.5,) * 3, (0.25,) * 3), cam=MapLayer("bright", 1, 8))
    model = Classifier(backbone, torch.nn.Linear(1, 2))
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[-1.0], [1.0]]))
    image = np.full((1, 64, 64, 1), 60, dtype=np.uint8)
    image[:, 8:24, 40:56] = 250
    (heat,) = heat_maps(METHODS["grad_cam"], model, image, np.array([1]))
    assert heat[4:28, 36:60].sum() / heat.sum() > 0.95
    (against,) = heat_maps(METHODS["grad_cam"], model, image, np.array([0]))
    assert not against.any(), "nothing speaks for the other class"


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "vit_b_16"])
def test_heat_maps_cover_the_image_even_when_every_weight_is_frozen(name):
    model = create("classification", Architecture(source="torchvision", name=name), 2).requires_grad_(False)
    images = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 1), dtype=np.uint8)
    maps = np.concatenate([heat_maps(METHODS["grad_cam"], model, images, np.array([k])) for k in (0, 1)])
    assert maps.shape == (2, 224, 224)
    assert maps.min() >= 0
    assert maps.max() == pytest.approx(1)


@pytest.fixture
def trained(workspace, make_processed, train_params):
    make_processed(workspace / "data" / "processed", side=64)
    train.run(train_params(epochs=12, min_steps_per_epoch=6, schedule="cosine"), Job(KEY))


def test_a_trained_model_is_evaluated_and_every_case_has_its_image_and_heat_map(trained):
    evaluate.run(evaluate.Params(bootstrap=100, seed=0), Job(KEY))
    table = pd.read_parquet("reports/evaluate/small_cnn-from_scratch-full/predictions.parquet")
    numbers = read_json("reports/evaluate/small_cnn-from_scratch-full/metrics.json")
    assert list(table.columns)[:5] == ["path", "label", "patient", "group", "split"]
    assert {"predicted", "prob_normal", "prob_sick", "calibrated_sick", "brightness", "width"} <= set(table)
    test = table[table["split"] == "test"]
    auroc = numbers["test"]["auroc"]
    assert auroc["value"] == pytest.approx(roc_auc_score(test["label"] == "sick", test["prob_sick"]))
    assert auroc["low"] <= auroc["value"] <= auroc["high"]
    assert numbers["n"]["test"] == {"images": len(test), "patients": test["patient"].nunique()}

    result = run(Params(right=2, wrong=0, seed=0), Job(KEY))
    folder = result.figures[0].parent
    cases = read_json(folder / "cases.json")
    assert result.metrics["cases"] == 4
    examination = read_json(folder / "methods.json")
    methods = examination["methods"]
    assert examination["weights_sha256"] == sha256(Path("models") / str(KEY) / "weights.safetensors")
    assert result.metrics["grad_cam/deletion"] == methods["grad_cam"]["deletion"]["area"]["value"]
    assert methods["grad_cam"]["deletion"]["against_random"]["verdict"] == "better", "the class is a bright square"
    assert {Image.open(file).size for file in folder.glob("means/*/*.png")} == {(64, 64)}
    assert [case["label"] for case in cases] == ["normal", "normal", "sick", "sick"]
    heat = np.load(folder / "heatmaps.npz")["heatmaps"]
    assert heat.shape == (4, 64, 64)
    for case, map_of_case in zip(cases, heat, strict=True):
        assert Image.open(folder / case["image"]).size == (64, 64)
        assert np.abs(np.asarray(Image.open(folder / case["heatmap"])) / 255 - map_of_case).max() < 0.5 / 255 + 1e-6
        assert 0.5 <= case["confidence"] <= 1
    assert Image.open(folder / "gallery.png").width > 400
