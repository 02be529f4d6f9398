"""The floors are what scikit-learn gives by hand, on the study's own split, and judged as models are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from stages.floor import run
from stages.floor.hog import hog
from stages.floor.linear import STRENGTHS, fit
from stages.floor.stage import few
from stages.shared.core.job import Job
from stages.shared.images.plain import CORNER, FRAME, SIDE, frame, histogram, of_file, small
from stages.shared.measures import MEASURES
from stages.shared.measures.judge import Resampling, judge


def read(name: str, file: str = "predictions.parquet") -> pd.DataFrame:
    return pd.read_parquet(Path("reports/floor") / name / file)


def numbers(name: str) -> dict:
    return json.loads((Path("reports/floor") / name / "metrics.json").read_text())


def test_each_floor_leaves_what_evaluate_leaves_of_a_model(arrays, params, capsys):
    arrays()
    result = run(params(), Job())
    index = pd.read_parquet("data/processed/index.parquet")
    facts = json.loads(Path("reports/floor/floor.json").read_text())
    assert [f["name"] for f in facts["floors"]] == ["majority", "file", "border", "pixels", "hog"]
    assert facts["train_images"] == (index["split"] == "train").sum()
    for name in ("majority", "file", "border", "pixels", "hog"):
        table = read(name)
        assert set(table["path"]) == set(index["path"][index["split"] != "train"])
        again = judge(table, MEASURES["classification"], Resampling(200, 0.95, 0))
        assert numbers(name) == json.loads(json.dumps(again.numbers))
        pd.testing.assert_frame_equal(read(name, "draws.parquet"), again.draws)
        assert result.metrics[f"{name}/test/auroc"] == pytest.approx(numbers(name)["test"]["auroc"]["value"])
    assert numbers("majority")["test"]["auroc"]["value"] == 0.5
    assert numbers("pixels")["test"]["auroc"]["value"] > 0.75
    assert numbers("file")["test"]["auroc"]["value"] > 0.6
    assert "reaches a validation AUROC of" in capsys.readouterr().err


def test_the_floor_of_pixels_is_a_regression_by_hand(arrays, params):
    arrays()
    run(params(models=["pixels"]), Job())
    images, index = np.load("data/processed/images.npy"), pd.read_parquet("data/processed/index.parquet")
    pixels = images[..., 0].reshape(len(images), 16, 2, 16, 2).mean((2, 4)).reshape(len(images), -1)
    pixels = np.floor(pixels + 0.5)  # OpenCV rounds bytes
    ill, part = index["label"] == "ill", index["split"].to_numpy()
    scaler = StandardScaler().fit(pixels[part == "train"])
    scores = {}
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=300)
        model.fit(scaler.transform(pixels[part == "train"]), ill[part == "train"])
        scores[strength] = model.predict_proba(scaler.transform(pixels))[:, 1]
    best = max(STRENGTHS, key=lambda c: (roc_auc_score(ill[part == "val"], scores[c][part == "val"]), -c))
    assert json.loads(Path("reports/floor/floor.json").read_text())["floors"][0]["strength"] == best
    expected = roc_auc_score(ill[part == "test"], scores[best][part == "test"])
    assert numbers("pixels")["test"]["auroc"]["value"] == pytest.approx(expected, abs=0.005)


def test_no_test_label_has_a_part_in_it(arrays, params):
    arrays()
    run(params(models=["pixels", "hog"]), Job())
    before = {name: read(name) for name in ("pixels", "hog")}
    path = Path("data/processed/index.parquet")
    index = pd.read_parquet(path)
    other = index["label"].map({"normal": "ill", "ill": "normal"}).astype(index["label"].dtype)
    index.assign(label=index["label"].mask(index["split"] == "test", other)).to_parquet(path)
    run(params(models=["pixels", "hog"]), Job())
    for name, table in before.items():
        assert read(name)["prob_ill"].tolist() == table["prob_ill"].tolist()


def test_anomaly_has_a_supervised_floor_with_a_threshold(arrays, params):
    arrays(classes=("normal", "virus", "bacteria"), patients=180)
    run(params("anomaly", models=["majority", "pixels"]), Job())
    table = read("pixels")
    test = table[table["split"] == "test"]
    expected = roc_auc_score(test["label"] != "normal", test["score"])
    assert numbers("pixels")["test"]["auroc"]["value"] == pytest.approx(expected)
    assert expected > 0.75
    assert table["threshold"].nunique() == 1
    assert numbers("pixels")["test"]["pixel_auroc"]["value"] is None
    assert numbers("majority")["test"]["auroc"]["value"] == 0.5


def test_segmentation_has_the_mean_mask_of_the_training_images(arrays, params, monkeypatch):
    from stages.shared.arrays.arrays import Arrays

    arrays(masks=True)
    Path("data/processed/masks_original.zip").touch()
    monkeypatch.setattr("stages.shared.arrays.arrays.Archive", lambda *_: None)
    monkeypatch.setattr(Arrays, "original_mask", lambda self, row: None)
    run(params("segmentation"), Job())
    masks, index = np.load("data/processed/masks.npy"), pd.read_parquet("data/processed/index.parquet")
    mean = masks[(index["split"] == "train").to_numpy()].mean(axis=0)
    table = read("mean_mask").set_index("path")
    level = table["threshold"].iloc[0]
    predicted = np.round(mean * 255) / 255 >= level - 1e-9
    for row in np.flatnonzero(index["split"] == "test")[:5]:
        truth = masks[row] == 1
        dice = 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum())
        assert table.loc[index["path"][row], "dice:lung"] == pytest.approx(dice)


def test_an_empty_list_is_no_floor(arrays, params):
    arrays()
    assert run(params(models=[]), Job()).metrics == {}
    assert json.loads(Path("reports/floor/floor.json").read_text())["floors"] == []


def test_hog_is_scikit_image_s():
    """Numbers of skimage.feature.hog(picture, 9, (8, 8), (2, 2)), version 0.26."""
    y, x = np.mgrid[:16, :16].astype(np.float32)
    picture = 100 + 40 * np.sin(x / 3 + y / 5) + 3 * y + 20 * (x > 9) * (y < 6)
    expected = [
        0.34887, 0.27333, 0.22006, 0.02222, 0.1644, 0.00637, 0.0, 0.02149, 0.03079, 0.30285, 0.13525, 0.2474, 0.08856,
        0.15761, 0.04973, 0.02787, 0.03207, 0.09885, 0.34887, 0.34887, 0.03419, 0.00961, 0.05037, 0.0, 0.00638, 0.007,
        0.04199, 0.18113, 0.29536, 0.34887, 0.02122, 0.12964, 0.00672, 0.00638, 0.0, 0.00834,
    ]  # fmt: skip
    assert hog(picture[None].astype(np.float32))[0] == pytest.approx(expected, abs=1e-5)
    assert hog(np.zeros((3, 64, 64), np.float32)).shape == (3, 7 * 7 * 36)
    assert not hog(np.zeros((3, 64, 64), np.float32)).any()


def test_the_strongest_of_equal_regularisations_is_chosen():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    features = labels[:, None] * 4 + rng.normal(0, 0.1, (40, 3))
    rows = np.arange(40)
    assert fit(features, labels, rows, rows, lambda p: roc_auc_score(labels, p[:, 1])).strength == STRENGTHS[0]


def test_a_large_set_is_thinned_by_whole_groups(monkeypatch):
    monkeypatch.setattr("stages.floor.stage.MOST", 40)
    index = pd.DataFrame({"group": np.arange(100).repeat(2)})
    rows = few(index, np.arange(20, 200))
    assert len(rows) == 40
    assert (index["group"].iloc[rows].value_counts() == 2).all()


def test_the_frame_is_the_border_and_the_corners():
    mask = frame()
    assert mask.shape == (SIDE, SIDE)
    assert mask[0].all()
    assert mask[:CORNER, :CORNER].all()
    assert not mask[CORNER, FRAME]
    assert mask.sum() == SIDE**2 - (SIDE - 2 * FRAME) ** 2 + 4 * (CORNER - FRAME) ** 2


def test_small_pictures_are_means_and_histograms_are_shares():
    pictures = np.random.default_rng(0).integers(0, 256, (4, 64, 64), np.uint8)
    expected = pictures.reshape(4, 16, 4, 16, 4).mean((2, 4))
    assert np.abs(small(pictures, 16) - expected).max() <= 0.5
    assert np.abs(small(pictures[..., None].repeat(3, axis=3), 16) - expected).max() <= 1.5
    shares = histogram(small(pictures, 64))
    assert shares.shape == (4, 16)
    assert shares[0] == pytest.approx(np.histogram(pictures[0], 16, (0, 256))[0] / 64**2)


def test_bins_of_a_file_are_those_of_the_images_that_a_model_learns_from():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"path": "a.png", "width": rng.integers(50, 900, 400), "height": 300, "mode": "L", "quantisation": np.nan}
    )
    train = np.arange(400) < 200
    other = rows.assign(width=np.where(train, rows["width"], rows["width"] + 5000))
    assert np.array_equal(of_file(rows, train)[train], of_file(other, train)[train])
    assert not np.array_equal(of_file(rows)[train], of_file(other)[train])
    expected = pd.qcut(np.log(rows["width"].astype(float)), 8, labels=False)
    assert np.array_equal(of_file(rows)[:, 2:10].argmax(axis=1), expected)  # behind width and aspect as they are


def test_files_that_are_alike_have_no_numbers():
    rows = pd.DataFrame({"path": ["a.png", "b.png"], "width": 3, "height": 4, "mode": "L", "quantisation": np.nan})
    assert of_file(rows).shape == (2, 0)
    assert of_file(rows.assign(path=["a.png", "b.jpg"])).shape == (2, 2)
