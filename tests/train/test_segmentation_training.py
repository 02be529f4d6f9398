"""Trainings of a small U-Net on discs whose masks are known, and what evaluate and explain make of them."""

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy import ndimage
from sklearn.metrics import f1_score

from stages import evaluate, explain
from stages.shared.arrays.arrays import load_arrays
from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import Key, model_dir, report_dir
from stages.shared.model.decision import choose
from stages.shared.model.predict import as_tensor
from stages.shared.model.recipe import Decision
from stages.shared.tasks.models import create, load
from stages.shared.tasks.segmentation import answer, predict
from stages.train import run
from stages.train.batches import Images

KEY = Key("small_cnn", "from_scratch", "full")
SIDE = 48
AUGMENT = [{"Affine": {"rotate": [-20, 20], "translate_percent": [-0.1, 0.1], "p": 1.0}}]
RECIPE = {
    "task": "segmentation",
    "loss": {"name": "dice_cross_entropy"},
    "class_weights": "none",
    "early_stopping": {"monitor": "val_dice", "patience": None},
}


@pytest.fixture
def discs(processed):
    """`processed` with a bright disc in every image. Every fourth patient is not annotated: masks of zeros."""
    rng, (y, x) = np.random.default_rng(1), np.mgrid[:SIDE, :SIDE]
    index = pd.read_parquet(processed / "index.parquet")
    index["has_mask"] = index["group"] % 4 != 3
    images, masks = [], []
    for annotated in index["has_mask"]:
        centre, radius = rng.uniform(14, 34, 2), rng.uniform(6, 12)
        disc = np.hypot(y - centre[0], x - centre[1]) < radius
        images.append(rng.integers(40, 110, (SIDE, SIDE)) + 110 * disc)
        masks.append(disc & annotated)
    np.save(processed / "images.npy", np.array(images, np.uint8)[..., None])
    np.save(processed / "masks.npy", np.array(masks, np.uint8))
    index.to_parquet(processed / "index.parquet", index=False)
    meta = json.loads((processed / "meta.json").read_text())
    meta |= {"structures": ["disc"], "size": [SIDE, SIDE], "preprocess": {"mode": "grey", "size": SIDE, "steps": []}}
    (processed / "meta.json").write_text(json.dumps(meta))
    write_originals(processed / "masks_original.zip", masks, index["has_mask"])
    return processed


def test_a_served_mask_follows_the_threshold_and_the_components_of_the_recipe(discs, train_params):
    folder = run(train_params(**RECIPE, epochs=1), Job(KEY)).model
    model, recipe = load(folder)
    images = load_arrays().images[:4]
    with torch.no_grad():
        foreground = model(as_tensor(images)).softmax(dim=1)[:, 1].numpy()
    level = round(float(np.quantile(foreground, 0.7)) * 255)  # of these images, not 0.5
    assert abs(level - 128) > 3
    for kept in (0, 1):
        given = recipe.model_copy(update={"decision": Decision(level=level, kept=(kept,))})
        answers = answer(model, images, given)
        for text, share, values in zip(answers["mask"], answers["share_disc"], foreground, strict=True):
            mask, expected = Image.open(io.BytesIO(base64.b64decode(text))), (values * 255).round() >= level
            labels, count = ndimage.label(expected, np.ones((3, 3)))
            sizes = ndimage.sum_labels(expected, labels, np.arange(1, count + 1))
            assert (np.asarray(mask) == 1).sum() == (sizes.max() if kept else sizes.sum())
            assert share == pytest.approx((np.asarray(mask) == 1).mean())
    recipe.model_copy(update={"decision": None}).write(folder)
    with pytest.raises(UserError, match=r"recipe.json: has no `decision`.*dvc repro -f train@small_cnn"):
        load(folder)


def write_originals(path, masks, annotated):
    import zipfile

    with zipfile.ZipFile(path, "w") as file:
        for row, (mask, there) in enumerate(zip(masks, annotated, strict=True)):
            if there:
                buffer = io.BytesIO()
                Image.fromarray(np.kron(mask, np.ones((2, 2))).astype(np.uint8)).save(buffer, format="PNG")
                file.writestr(f"{row}.png", buffer.getvalue())


def test_it_finds_the_discs_and_never_reads_what_is_not_annotated(discs, train_params, monkeypatch):
    read, fetch = set(), Images.read

    def note(self, items):
        read.update(row for row, _ in items)
        return fetch(self, items)

    monkeypatch.setattr(Images, "read", note)
    result = run(train_params(**RECIPE, epochs=6, augment=AUGMENT), Job(KEY))
    assert result.metrics["val/best_dice"] > 0.9
    index = load_arrays().index
    assert index["has_mask"].iloc[sorted(read)].all()

    metrics = evaluate.run(evaluate.Params(bootstrap=100), Job(KEY)).metrics
    assert metrics["test/dice"] > 0.9
    assert metrics["test/dice_original"] > 0.85
    table = pd.read_parquet(report_dir("evaluate", KEY) / "predictions.parquet")
    assert set(table["path"]) == set(index.loc[index["has_mask"] & (index["fold"] <= 0), "path"])

    model, recipe = load(model_dir(KEY))
    with np.load(report_dir("train", KEY) / "rows.npz") as rows:  # no test image chooses the threshold
        validation = rows["validation"]
    assert recipe.decision == choose(predict(model, load_arrays(), validation).maps, load_arrays().masks[validation])
    images, truths = load_arrays().images, load_arrays().masks
    places = pd.Index(index["path"]).get_indexer(table["path"])
    for served, truth, dice in zip(
        answer(model, images[places], recipe)["mask"], truths[places], table["dice:disc"], strict=True
    ):
        mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(served))))
        assert f1_score(truth.ravel(), mask.ravel()) == pytest.approx(dice)  # what is served is what was scored

    explain.run(explain.Params(outlines=1, common=2), Job(KEY))
    folder = report_dir("explain", KEY)
    cases = json.loads((folder / "cases.json").read_text())
    assert [case["kind"] for case in cases] == ["best", "median", "worst", "common", "common"]
    assert cases[0]["dice"] >= cases[1]["dice"] >= cases[2]["dice"]
    dice = table.set_index("path")["dice:disc"]
    assert all(case["dice"] == pytest.approx(dice[case["path"]]) for case in cases)
    saved = np.load(folder / "heatmaps.npz")
    for i, path in enumerate(saved["paths"]):  # the outline is the mask that was scored
        truth = load_arrays().masks[index.index[index["path"] == path][0]]
        both = 2 * ((saved["masks"][i] == 1) & (truth == 1)).sum()
        assert both / ((saved["masks"][i] == 1).sum() + (truth == 1).sum()) == pytest.approx(dice[str(path)])
    assert Image.open(folder / "gallery.png").width > 400


def test_images_of_another_site_choose_no_threshold(discs, train_params):
    index = pd.read_parquet(discs / "index.parquet")
    index["site"] = np.where(index["group"] // 2 % 2 == 0, "A", "B")
    index.to_parquet(discs / "index.parquet", index=False)
    run(train_params(**RECIPE, epochs=1, sample={"site": "A"}), Job(KEY))
    evaluate.run(evaluate.Params(bootstrap=100), Job(KEY))
    table = pd.read_parquet(report_dir("evaluate", KEY) / "predictions.parquet")
    with np.load(report_dir("train", KEY) / "rows.npz") as rows:
        validation = index["path"].iloc[rows["validation"]]
    assert set(table.loc[table["split"] == "val", "path"]) == set(validation)
    sites = table["path"].map(index.set_index("path")["site"])
    assert set(sites[table["split"] == "val"]) == {"A"}
    assert set(sites[table["split"] == "test"]) == {"A", "B"}


@pytest.fixture
def pretrained(tmp_path):
    torch.manual_seed(5)
    model = create("segmentation", architecture(), 2)
    path = tmp_path / "start.safetensors"
    save_file({name: t.contiguous() for name, t in model.backbone.network.state_dict().items()}, path)
    return {"source": "lightbox", "name": "small_cnn", "weights": str(path)}


def architecture():
    from stages.shared.model.recipe import Architecture

    return Architecture(source="lightbox", name="small_cnn")


def test_feature_extraction_trains_the_decoder_alone_and_its_cache_changes_nothing(discs, train_params, pretrained):
    key, weights = Key("small_cnn", "feature_extraction", "full"), []
    start = load_file(pretrained["weights"])
    for enabled in (True, False):
        params = train_params(
            **RECIPE, epochs=2, backbone=pretrained, strategy={"plan": "feature_extraction"}, augment=AUGMENT,
            cache={"enabled": enabled, "views": 2},
        )  # fmt: skip
        folder = run(params, Job(key)).model
        weights.append(load_file(folder / "weights.safetensors"))
    prefix = "backbone.network."
    for own in weights:
        assert all(torch.equal(own[prefix + name], tensor) for name, tensor in start.items())
    first = torch.manual_seed(0) and create("segmentation", architecture(), 2).state_dict()
    assert any(not torch.equal(weights[0][n], first[n]) for n in weights[0] if n.startswith("head."))
    model, recipe = load(folder)
    assert recipe.classes == ["background", "disc"]
    images = as_tensor(load_arrays().images[:4])
    with torch.no_grad():
        assert torch.equal(model(images), model(images))  # nothing random is left on in a frozen encoder


def test_features_from_the_cache_are_those_of_the_encoder(discs, pretrained):
    from stages.train.features.cut import split

    model = create("segmentation", architecture(), 2)
    prefix, tail = split(model, list(model.backbone.blocks), (1, SIDE, SIDE))
    images = as_tensor(load_arrays().images[:3])
    model.eval()
    with torch.no_grad():
        assert torch.allclose(tail(*prefix(images)), model(images), atol=1e-6)


def test_a_mask_moves_with_its_image(discs):
    arrays = load_arrays()
    rows = np.flatnonzero(arrays.index["has_mask"])[:8]
    source = Images(arrays, arrays.masks, 3, [*AUGMENT, {"RandomBrightnessContrast": {"p": 1.0}}])
    items = [(int(row), 1) for row in rows]
    (images,), masks = source.read(items)
    assert torch.equal(masks, source.targets_of(items))
    assert not torch.equal(masks, torch.from_numpy(arrays.masks[rows]))
    assert set(masks.unique().tolist()) == {0, 1}
    for image, mask in zip(images[:, 0].float(), masks, strict=True):  # the disc is bright wherever it went
        assert image[mask == 1].mean() > image[mask == 0].mean() + 40


def test_batch_size_and_order_change_no_prediction(discs):
    torch.manual_seed(0)
    model, arrays = create("segmentation", architecture(), 2), load_arrays()
    rows = np.flatnonzero(arrays.index["has_mask"])[:9]
    maps = predict(model, arrays, rows).maps
    backwards = predict(model, arrays, rows[::-1]).maps[::-1]
    alone = np.concatenate([predict(model, arrays, rows[i : i + 1]).maps for i in range(len(rows))])
    assert np.abs(maps.astype(int) - backwards).max() <= 1
    assert np.abs(maps.astype(int) - alone).max() <= 1
