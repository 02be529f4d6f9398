"""Models of anomaly detection learn from normal images alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from stages import evaluate, train
from stages.shared.arrays.arrays import load_arrays
from stages.shared.core.errors import UserError
from stages.shared.core.files import read_json
from stages.shared.core.job import Job
from stages.shared.core.paths import Key
from stages.shared.measures.anomaly import measures, scored
from stages.shared.measures.measure import Truth
from stages.shared.model.detectors import maps, reconstructions, scores
from stages.shared.model.memories.settings import Padim
from stages.shared.tasks import anomaly
from stages.shared.tasks.models import create, load
from stages.train import stage
from stages.train.params.sample import Sample
from stages.train.sample import select

MEMORIES = {
    "knn": {"plan": "knn", "neighbours": 3},
    "patch_knn": {"plan": "patch_knn", "coreset": 0.2},
    "mahalanobis": {"plan": "mahalanobis"},
    "padim": {"plan": "padim", "channels": 20},
}


@pytest.fixture
def params(train_params, shipped):
    def make(strategy="from_scratch", **changes):
        backbone = {"source": "lightbox", "name": "small_cnn", "weights": str(shipped)}
        values = {"task": "anomaly", "backbone": backbone, "loss": "reconstruction", "class_weights": "none"}
        return train_params(**values | {"strategy": MEMORIES.get(strategy, {"plan": strategy})} | changes)

    return make


class Reads:
    """An array of images that notes which rows are asked for."""

    def __init__(self, images, rows):
        self.images, self.rows, self.shape = images, rows, images.shape

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        self.rows.update(np.atleast_1d(rows).tolist())
        return self.images[rows]


@pytest.mark.parametrize("strategy", ["from_scratch", "fine_tune", *MEMORIES])
def test_no_anomalous_image_is_read_but_those_that_validate(processed, params, monkeypatch, strategy):
    arrays, read = load_arrays(), set()
    monkeypatch.setattr(stage, "load_arrays", lambda: replace(arrays, images=Reads(arrays.images, read)))
    train.run(params(strategy, epochs=2), Job(Key("small_cnn", strategy, "full")))
    index = arrays.index
    assert set(np.flatnonzero((index["fold"] > 0) & (index["label"] == "normal"))) <= read
    others = index.iloc[sorted(read)]
    assert set(others.loc[others["label"] == "sick", "split"]) == {"val"}
    assert "test" not in set(others["split"])


def test_anomalous_images_do_not_weigh_in_the_loss():
    outputs = torch.rand(4, 8, 16, 16)
    targets = torch.tensor([0, 1, 0, 1])
    loss = anomaly.Loss()(outputs, targets)
    torch.testing.assert_close(loss, scores(outputs)[[0, 2]])
    assert len(anomaly.Loss(ssim=0.5)(outputs, torch.ones(4))) == 0


def test_the_loss_of_structure_is_zero_for_the_image_itself():
    image = torch.rand(2, 3, 32, 32)
    error = torch.zeros(2, 2, 32, 32)
    same, other = (torch.cat([error, drawn, image], dim=1) for drawn in (image, 1 - image))
    targets = torch.zeros(2)
    assert anomaly.Loss(ssim=1.0)(same, targets) == pytest.approx(0, abs=1e-5)
    assert (anomaly.Loss(ssim=1.0)(other, targets) > 0.5).all()


def test_the_score_of_an_autoencoder_is_its_mean_squared_error(params):
    model = create("anomaly", params().architecture, 2).eval()
    images = torch.randint(0, 256, (3, 1, 48, 40), dtype=torch.uint8)
    with torch.no_grad():
        outputs = model(images)
    drawn, image = reconstructions(outputs)
    torch.testing.assert_close(image, (images / 255).expand(-1, 3, -1, -1))
    torch.testing.assert_close(scores(outputs), ((drawn - images / 255) ** 2).mean(dim=(1, 2, 3)))
    assert maps(outputs, (48, 40)).shape == (3, 48, 40)


def test_only_the_numbers_of_the_bottleneck_reach_the_drawing(params):
    backbone = params().backbone.model_dump() | {"reconstruction": {"latent": 1}}
    model = create("anomaly", params(backbone=backbone).architecture, 2).eval()
    code = {}
    model.head.squeeze.register_forward_hook(lambda *call: code.update(latent=call[-1]))
    with torch.no_grad():
        model(torch.randint(0, 256, (3, 1, 32, 32), dtype=torch.uint8))
    assert code["latent"].shape == (3, 1)


@pytest.mark.parametrize("strategy", list(MEMORIES))
def test_a_memory_is_fitted_saved_and_predicts_the_same(processed, params, strategy):
    key = Key("small_cnn", strategy, "full")
    result = train.run(params(strategy), Job(key))
    model, recipe = load(result.model)
    arrays = load_arrays()
    rows = np.flatnonzero(arrays.index["fold"] == 0)
    predictions = anomaly.predict(model, arrays, rows)
    history = pd.read_csv(f"reports/train/{key}/history.csv")
    assert len(history) == 1
    truth = predictions.table["label"] == "sick"
    assert history["val_auroc"].item() == pytest.approx(roc_auc_score(truth, predictions.table["score"]))
    assert history["val_loss"].item() == pytest.approx(predictions.table.loc[~truth, "score"].mean(), rel=1e-4)
    assert predictions.maps.dtype == np.float16
    assert predictions.maps.shape == (len(rows), 32, 32)
    summary = read_json(Path(f"reports/train/{key}/summary.json"))
    assert summary["trainable_parameters"] == 0
    assert recipe.architecture.memory.plan == strategy
    plan = pd.read_csv(f"reports/train/{key}/plan.csv")
    assert plan["lr"].isna().all()


def test_a_memory_is_fitted_in_float32_whatever_the_precision(processed, params):
    key, banks = Key("small_cnn", "knn", "full"), []
    for precision in ("32-true", "bf16-mixed"):
        folder = train.run(params("knn", precision=precision), Job(key)).model
        banks.append(load(folder)[0].head.bank)
    assert torch.equal(*banks)
    assert read_json(Path(f"reports/train/{key}/summary.json"))["precision"] == "32-true"


@pytest.mark.parametrize("enabled", [True, False])
def test_frozen_maps_from_the_store_make_the_same_memory(processed, params, enabled):
    arrays, task = load_arrays(), params("patch_knn", cache={"enabled": enabled})
    result = train.run(task, Job(Key("small_cnn", "patch_knn", "full")))
    model, _ = load(result.model)
    normal = arrays.rows("train")[arrays.index.iloc[arrays.rows("train")]["label"] == "normal"]
    encoded = model.encode(model.normalise(torch.from_numpy(arrays.images[normal]).permute(0, 3, 1, 2)))
    with torch.no_grad():
        patches = model.head.patches(encoded).flatten(2).transpose(1, 2).reshape(-1, model.head.bank.shape[1])
        apart = torch.cdist(model.head.bank, patches).amin(dim=1)
    assert len(model.head.bank) == round(0.2 * len(patches))
    assert apart.max() < 0.01  # each is a patch of a normal image


def test_a_fit_that_was_killed_begins_again_and_ends_the_same(processed, params):
    key = Key("small_cnn", "padim", "full")
    reference = load(train.run(params("padim"), Job(key)).model)[0].head.state_dict()

    class Killed(BaseException):
        pass

    def report(metrics, step):
        raise Killed

    changed = params("padim", epochs=4)  # another training, with a checkpoint of its own
    with pytest.raises(Killed):
        train.run(changed, Job(key, report=report))
    again = load(train.run(changed, Job(key)).model)[0].head.state_dict()
    assert all(torch.equal(reference[name], again[name]) for name in reference)


def test_evaluate_scores_and_judges(processed, params):
    key = Key("small_cnn", "patch_knn", "full")
    train.run(params("patch_knn"), Job(key))
    evaluate.run(evaluate.Params(bootstrap=200), Job(key))
    table = pd.read_parquet(f"reports/evaluate/{key}/predictions.parquet")
    assert set(table["predicted"]) <= {"normal", "anomalous"}
    assert ((table["score"] > table["threshold"]) == (table["predicted"] == "anomalous")).all()
    numbers = read_json(Path(f"reports/evaluate/{key}/metrics.json"))
    assert (
        numbers["counts"]["val"]["normal"]["images"] == ((table["split"] == "val") & (table["label"] == "normal")).sum()
    )


@pytest.mark.parametrize("missing", ["normal", "sick"])
def test_validation_with_one_kind_alone_is_refused(processed, params, missing):
    index = pd.read_parquet(processed / "index.parquet")
    index.loc[(index["fold"] == 0) & (index["label"] == missing), ["fold", "split"]] = [-1, "test"]
    index.to_parquet(processed / "index.parquet")
    which = "normal" if missing == "normal" else "anomalous"
    with pytest.raises(UserError, match=f"of [0-9]+ validation images none is {which} .* normal, is the normal one"):
        train.run(params(), Job(Key("small_cnn", "from_scratch", "full")))


def test_a_sample_takes_its_share_of_the_normal_patients(processed):
    index = load_arrays().index
    normal = anomaly.learnable(index)
    all_rows, half = (select(index, Sample(fraction=f), None, normal) for f in (1.0, 0.5))
    assert set(index.iloc[all_rows.train]["label"]) == {"normal"}
    assert len(half.train) == pytest.approx(len(all_rows.train) / 2, abs=2)
    assert set(index.iloc[half.validation]["label"]) == {"normal", "sick"}
    assert len(select(index, Sample(per_class=6), None, normal).train) == 6


def test_a_memory_is_refused_for_a_task_that_remembers_nothing(params):
    wrong = params("knn", task="classification", loss="cross_entropy")
    with pytest.raises(UserError, match=r"strategy.plan: knn is for .* anomaly, and task is classification"):
        train.check(wrong)


def test_a_loss_of_another_task_is_refused(params):
    with pytest.raises(UserError, match=r"loss.name \(task: anomaly\): 'focal' is not known.*reconstruction"):
        train.check(params(loss="focal"))


def test_a_memory_is_fitted_by_one_process(params):
    with pytest.raises(ValueError, match="fitted by one process"):
        params("knn", trainer={"devices": 2, "strategy": "ddp"})


def test_a_block_that_does_not_exist_is_refused_before_any_work(params):
    with pytest.raises(UserError, match="strategies: blocks .*'block7' is not known"):
        train.check(params("padim").model_copy(update={"strategy": Padim(plan="padim", blocks=["block7"])}))


@pytest.mark.parametrize("strategy", ["patch_knn", "knn"])
def test_what_is_planted_in_sick_images_is_found_and_shuffled_labels_are_not(processed, params, strategy):
    """Sick images have their bright square in the right corner, normal ones in the left."""
    key = Key("small_cnn", strategy, "full")
    model, _ = load(train.run(params(strategy), Job(key)).model)
    arrays = load_arrays()
    rows = np.concatenate([np.flatnonzero(arrays.index["fold"] == 0), arrays.rows("test")])
    predictions = anomaly.predict(model, arrays, rows)
    masks = np.zeros((len(rows), 32, 32), np.uint8)
    masks[arrays.targets[rows] == 1, 2:14, 18:30] = 1  # in every image it would be anatomy
    truth = Truth(masks, ["square"], lambda i: None, lambda values, size: values)
    rng = np.random.default_rng(0)
    aurocs = {"true": [], "shuffled": []}
    for labels, values in aurocs.items():
        for _ in range(1 if labels == "true" else 20):
            table = predictions.table
            if labels == "shuffled":
                table = table.assign(label=table["label"].iloc[rng.permutation(len(table))].values)
            judged = scored(table, predictions.maps, truth, evaluate.Params())
            values.append({name: value[0] for name, value in measures(judged, np.ones((1, len(rows)))).items()})
    assert aurocs["true"][0]["auroc"] > 0.9
    assert np.mean([each["auroc"] for each in aurocs["shuffled"]]) == pytest.approx(0.5, abs=0.1)
    if strategy == "patch_knn":
        assert aurocs["true"][0]["pixel_auroc"] > 0.7
