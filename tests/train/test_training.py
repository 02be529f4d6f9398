"""Whole trainings on 32-px images with a known answer."""

import io
import re
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import Key
from stages.shared.tasks.classification import probabilities
from stages.shared.tasks.models import load
from stages.train import run

KEY = Key("small_cnn", "from_scratch", "full")


def test_it_learns_what_can_be_learnt_and_the_saved_model_predicts_it(processed, train_params):
    from stages.shared.arrays.arrays import load_arrays

    result = run(train_params(epochs=6), Job(KEY))
    assert result.metrics["val/best_auroc"] > 0.95
    model, recipe = load(result.model)
    arrays = load_arrays()
    test = arrays.rows("test")
    assert (probabilities(model, arrays.images, test).argmax(axis=1) == arrays.targets[test]).mean() > 0.9
    assert recipe.classes == ["normal", "sick"]
    assert recipe.params["epochs"] == 6


def test_same_seed_same_weights_and_another_seed_other_weights(processed, train_params):
    weights = []
    for seed in (0, 0, 1):
        augment = [{"HorizontalFlip": {"p": 0.5}}]
        folder = run(train_params(epochs=2, seed=seed, augment=augment), Job(KEY)).model
        weights.append(load_file(folder / "weights.safetensors"))
    first, again, other = weights
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not torch.equal(first["head.1.weight"], other["head.1.weight"])


def test_the_best_epochs_weights_are_kept_though_training_went_on(processed, train_params):
    """AUROC is at its best before the loss is: the kept weights must give that epoch's loss, not the last one's."""
    from stages.shared.arrays.arrays import load_arrays

    rule = {"monitor": "val_auroc", "patience": None}
    result = run(train_params(epochs=6, early_stopping=rule, optimizer={"lr": 0.01}, class_weights="none"), Job(KEY))
    history = pd.read_csv("reports/train/small_cnn-from_scratch-full/history.csv")
    best = int(result.metrics["cost/best_epoch"])
    assert best == history["val_auroc"].idxmax() < len(history) - 1
    model, _ = load(result.model)
    arrays = load_arrays()
    rows = arrays.rows("val")
    probs = probabilities(model, arrays.images, rows)
    loss = -np.log(probs[range(len(rows)), arrays.targets[rows]]).mean()
    assert loss == pytest.approx(history["val_loss"][best], rel=1e-3)
    assert loss != pytest.approx(history["val_loss"].iloc[-1], rel=1e-3)


def test_the_kept_model_has_statistics_of_its_training_images_after_few_steps(processed, train_params):
    """Five steps of momentum 0.1 would leave them more than half what they were at the start: 0 and 1."""
    from stages.shared.arrays.arrays import load_arrays
    from stages.shared.model.predict import as_tensor

    model, _ = load(run(train_params(epochs=1), Job(KEY)).model)
    norm = next(module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))
    inputs = []
    norm.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0]))
    arrays = load_arrays()
    with torch.no_grad():
        model(as_tensor(arrays.images[arrays.rows("train")]))
    variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
    assert torch.allclose(norm.running_var, variance, rtol=0.1)
    assert torch.allclose(norm.running_mean, mean, rtol=0.1, atol=0.05)


def test_every_epoch_shows_the_images_in_another_order_and_with_another_augmentation(
    processed, train_params, monkeypatch
):
    from stages.train.batches import Images

    shown = []
    fetch = Images.read

    def note(self, items):
        shown.extend((row, view) for row, view in items if view is not None)
        return fetch(self, items)

    monkeypatch.setattr(Images, "read", note)
    run(train_params(epochs=3, augment=["HorizontalFlip"]), Job(KEY))
    length = len(shown) // 3
    epochs = [shown[i * length : (i + 1) * length] for i in range(3)]
    rows = [[row for row, _ in epoch] for epoch in epochs]
    seeds = [{seed for _, seed in epoch} for epoch in epochs]
    assert sorted(rows[0]) == sorted(rows[1]) == sorted(rows[2])
    assert rows[0] != rows[1] != rows[2] != rows[0]
    assert not seeds[0] & seeds[1]


def test_it_stops_early_and_says_so_in_the_history(processed, train_params):
    rule = {"monitor": "val_accuracy", "patience": 1}
    result = run(train_params(epochs=30, early_stopping=rule), Job(KEY))
    assert result.metrics["cost/epochs"] < 30


def test_curves_are_reported_while_it_trains(processed, train_params):
    seen = []
    run(train_params(epochs=2), Job(KEY, lambda metrics, step: seen.append((step, set(metrics)))))
    assert [step for step, _ in seen] == [0, 1]
    assert {"train/loss", "val/loss", "val/auroc", "train/lr"} <= seen[0][1]


def test_more_classes_than_two(workspace, train_params, make_processed):
    make_processed(workspace / "data" / "processed", ("a", "b", "c"), patients=45)
    assert run(train_params(epochs=5), Job(KEY)).metrics["val/best_auroc"] > 0.9


def test_an_image_size_that_the_backbone_cannot_take_is_named(processed, train_params):
    backbone = {"source": "torchvision", "name": "vit_b_16"}
    with pytest.raises(UserError, match=r"preprocess\.size: .*exactly 224×224 and was given 32×32"):
        run(train_params(backbone=backbone), Job(KEY))


@pytest.mark.parametrize("augment", [[], [{"Rotate": {"limit": [-15, 15], "p": 1.0}}]], ids=["plain", "augmented"])
@pytest.mark.parametrize(
    "strategy", [{"plan": "feature_extraction"}, {"plan": "fine_tune", "last_blocks": 2}], ids=lambda s: s["plan"]
)
def test_a_cached_prefix_gives_the_weights_that_computing_it_every_epoch_gives(
    processed, train_params, shipped, monkeypatch, capsys, strategy, augment
):
    """With augmentation the uncached training sees the same views: there is no room for the cache, and it says so."""
    from stages.train.features import source

    backbone = {"source": "lightbox", "name": "small_cnn", "weights": str(shipped)}
    params = train_params(strategy=strategy, backbone=backbone, augment=augment)
    cached = run(params, Job(KEY))
    cached.discard()
    expected = load_file(cached.model / "weights.safetensors")
    assert "instead" not in capsys.readouterr().err

    def refuse(*_):
        raise source.NoRoom("needs 9 GB of cache.max_gb: 8")

    monkeypatch.setattr(source.FeatureStore, "fill", refuse)
    uncached = run(params, Job(KEY))
    found = load_file(uncached.model / "weights.safetensors")
    assert "needs 9 GB of cache.max_gb: 8; computing the frozen blocks in every epoch" in capsys.readouterr().err
    assert all(torch.allclose(expected[name], found[name], atol=1e-4) for name in expected)
    start = load_file(shipped)
    changed = {name for name in expected.keys() & start.keys() if not torch.equal(expected[name], start[name])}
    learning = () if strategy["plan"] == "feature_extraction" else ("blocks.2", "blocks.3")
    assert {".".join(n.split(".")[2:4]) for n in changed if n.startswith("backbone.")} == set(learning)


def test_views_belong_to_the_training_not_to_the_cache_and_without_it_every_epoch_shows_new_ones(
    processed, train_params, shipped
):
    backbone = {"source": "lightbox", "name": "small_cnn", "weights": str(shipped)}
    common = {"strategy": {"plan": "feature_extraction"}, "backbone": backbone, "augment": ["HorizontalFlip"]}
    heads = []
    for cache in ({"views": 1}, {"enabled": False}):
        folder = run(train_params(cache=cache, **common), Job(KEY)).model
        heads.append(load_file(folder / "weights.safetensors")["head.1.weight"])
    assert not torch.allclose(*heads, atol=1e-4)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_bar_for_the_whole_training(processed, train_params, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    run(train_params(epochs=3, early_stopping={"patience": None}), Job(KEY))
    shown = sys.stderr.getvalue()
    counts = [(int(n), int(total)) for n, total in re.findall(r"epoch \d/3:.*?\| (\d+)/(\d+) \[", shown)]
    assert len({total for _, total in counts}) == 1
    assert [n for n, _ in counts] == sorted(n for n, _ in counts)
    assert counts[0][1] % 3 == 0
    assert "Validation" not in shown


def test_a_log_has_a_line_per_epoch_with_the_time_left(processed, train_params, capsys):
    run(train_params(epochs=3, early_stopping={"patience": None}), Job(KEY))
    shown = capsys.readouterr().err
    assert [line[-5:] for line in shown.splitlines() if "epoch" in line][:2] == ["left)"] * 2
    assert shown.count("epoch") == 3
    assert "\r" not in shown
