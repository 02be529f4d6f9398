from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score, silhouette_score

from stages import checking, evaluate, train
from stages.embed import Params, run
from stages.embed.stage import uses
from stages.shared.core import settings
from stages.shared.core.errors import UserError
from stages.shared.core.files import read_json
from stages.shared.core.job import Job
from stages.shared.core.paths import Key

KEY = Key("small_cnn", "from_scratch", "full")
QUICK = Params(perplexity=5, iterations=250, k=[1, 3, 5, 9])


@pytest.fixture
def study_folder(workspace, processed, train_params):
    train.run(train_params(epochs=6, min_steps_per_epoch=6), Job(KEY))
    evaluate.run(evaluate.Params(bootstrap=100), Job(KEY))
    return workspace


def test_everything_that_the_features_say_is_written(study_folder):
    result = run(QUICK, Job(KEY))
    folder = study_folder / "reports/embed" / str(KEY)
    index = pd.read_parquet("data/processed/index.parquet")
    embeddings, numbers = np.load(folder / "embeddings.npy"), read_json(folder / "embed.json")
    assert embeddings.dtype == np.float16
    assert embeddings.shape == (len(index), numbers["features"])
    assert np.linalg.norm(embeddings.astype(float), axis=1) == pytest.approx(1, abs=2e-3)
    assert pd.read_parquet(folder / "index.parquet")["path"].tolist() == index["path"].tolist()

    points = pd.read_parquet(folder / "points.parquet").set_index("path")
    assert set(points["use"]) == {"train", "val", "test"}
    assert points["predicted"].notna().equals(points["use"] != "train")
    assert np.isfinite(points[["tsne_x", "tsne_y", "pca_x", "pca_y"]]).all(axis=None)

    test = (index["split"] == "test").to_numpy()
    expected = silhouette_score(embeddings[test].astype(float), index["label"][test].astype(str), metric="cosine")
    assert numbers["silhouette"]["value"] == pytest.approx(expected, abs=2e-3)
    assert result.metrics["silhouette"] == numbers["silhouette"]["value"]

    own, knn = (
        pd.read_parquet(f)
        for f in (
            "reports/evaluate/small_cnn-from_scratch-full/predictions.parquet",
            folder / "knn/predictions.parquet",
        )
    )
    assert {"predicted", "threshold", "prob_sick"} <= set(knn) <= set(own)
    assert own["path"].equals(knn["path"])
    assert len(pd.read_parquet(folder / "knn/draws.parquet")) == 100
    rows = knn[knn["split"] == "test"]
    value = roc_auc_score(rows["label"] == "sick", rows["prob_sick"])
    assert result.metrics["knn/test/auroc"] == pytest.approx(value)
    assert value > 0.9


def test_neighbours_are_training_images_of_other_groups(study_folder):
    run(QUICK, Job(KEY))
    index = pd.read_parquet("data/processed/index.parquet").set_index("path")
    close = pd.read_parquet(study_folder / "reports/embed" / str(KEY) / "neighbours.parquet")
    with np.load(study_folder / "reports/train" / str(KEY) / "rows.npz") as rows:
        trained = set(index.index[rows["train"]])
    assert set(close["neighbour"]) <= trained
    assert (index.loc[close["path"], "group"].to_numpy() != index.loc[close["neighbour"], "group"].to_numpy()).all()
    assert (close.groupby("path")["cosine"].agg(lambda cosines: cosines.is_monotonic_decreasing)).all()
    assert set(close["rank"]) == {1, 2, 3}


def plant(folder):
    """The same film under two patients, one of whom trained."""
    images, index = np.load(folder / "images.npy"), pd.read_parquet(folder / "index.parquet")
    train, test = np.flatnonzero(index["split"] == "train")[4], np.flatnonzero(index["split"] == "test")[0]
    images[test] = images[train]
    np.save(folder / "images.npy", images)
    return index["path"][test], index["path"][train]


def test_a_duplicate_in_two_splits_is_listed_and_stops_the_study_where_it_is_told_to(study_folder, processed, capsys):
    test, other = plant(processed)
    result = run(QUICK, Job(KEY))
    leaks = pd.read_csv(study_folder / "reports/embed" / str(KEY) / "leaks.csv")
    assert (test, "test", other, "train") in leaks[["path", "split", "other", "other_split"]].itertuples(
        index=False, name=None
    )
    assert result.metrics["leaks"] == len(leaks)
    assert test in capsys.readouterr().err
    with pytest.raises(UserError, match=rf"on_leak: stop: .*{test}.*{other}"):
        run(Params(**QUICK.model_dump() | {"on_leak": "stop"}), Job(KEY))


def test_a_model_that_trained_on_one_class_has_maps_and_no_neighbours_that_vote(study_folder):
    rows = study_folder / "reports/train" / str(KEY) / "rows.npz"
    index = pd.read_parquet("data/processed/index.parquet")
    with np.load(rows) as before:
        normal = before["train"][index["label"].iloc[before["train"]] == "normal"]
    np.savez(rows, train=normal)
    result = run(QUICK, Job(KEY))
    folder = study_folder / "reports/embed" / str(KEY)
    assert read_json(folder / "embed.json")["knn"] is None
    assert not (folder / "knn").exists()
    assert (folder / "points.parquet").exists()
    assert not any(name.startswith("knn") for name in result.metrics)


def test_data_of_one_class_have_no_silhouette(study_folder, processed):
    index = pd.read_parquet(processed / "index.parquet")
    index["label"] = pd.Categorical(["normal"] * len(index), ["normal", "sick"])
    index.to_parquet(processed / "index.parquet", index=False)
    run(QUICK, Job(KEY))
    assert read_json(study_folder / "reports/embed" / str(KEY) / "embed.json")["silhouette"] is None


def test_a_perplexity_above_the_images_stops_before_the_first_training(study_folder, repository):
    raw = settings.read(repository / "params.yaml")
    checking.check_data(raw)  # auto
    raw["embed"]["perplexity"] = 30
    with pytest.raises(UserError, match=r"^params.yaml: embed.perplexity: 30: .*the map has 80"):
        checking.check_data(raw)


def test_a_sample_that_asks_for_too_many_images_stops_before_the_first_training_and_is_named_once(
    study_folder, repository
):
    raw = settings.read(repository / "params.yaml")
    raw["samples"]["more"] = {"per_class": 500}
    raw["matrix"]["sample"] = ["full", "more"]
    with pytest.raises(UserError) as error:
        checking.check_data(raw)
    (line,) = str(error.value).splitlines()
    assert re.match(r"params.yaml: samples.more.per_class: 500, but \w+ has \d+ images", line)


def test_images_of_another_site_neither_train_nor_validate(processed):
    index = pd.read_parquet(processed / "index.parquet")
    index["site"] = np.where(index["group"] % 3 == 0, "A", "B")
    own = uses(index, {"fold": 1, "site": "A"})
    at_a = index["site"] == "A"
    assert set(own[at_a & (index["fold"] >= 0)]) == {"train", "val"}
    assert set(own[~at_a & (index["fold"] >= 0)]) == {"unused"}
    assert ((own == "test") == (index["split"] == "test")).all()
    assert ((own == "val") == (at_a & (index["fold"] == 1))).all()
    assert set(uses(index, {"fold": 1})) == {"train", "val", "test"}


@pytest.mark.parametrize("missing", ["reports/train/{}/rows.npz", "reports/evaluate/{}"])
def test_what_is_missing_is_named_with_the_command_that_makes_it(study_folder, missing):
    path = study_folder / missing.format(KEY)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=rf"missing. Run `dvc repro (train|evaluate)@{KEY}`"):
        run(QUICK, Job(KEY))
