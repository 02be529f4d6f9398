"""Several predictions of one image, on a network of a few weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stages.evaluate.evidence import passes, uncertainty
from stages.shared.model.model import Model
from stages.shared.model.recipe import Architecture
from stages.shared.tasks import classification
from stages.shared.tasks.models import create

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 1), dtype=np.uint8)
ROWS = np.arange(2, 12)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return create("classification", Architecture(source="lightbox", name="small_cnn", dropout=0.5), 3).eval()


def test_without_dropout_every_pass_is_the_prediction(model):
    for layer in passes.dropouts(model):
        layer.p = 0.0
    each = passes.with_dropout(model, IMAGES, ROWS, 4, seed=0)
    expected = classification.probabilities(model, IMAGES, ROWS)
    np.testing.assert_allclose(each, np.broadcast_to(expected, (4, *expected.shape)), atol=1e-6)


def test_passes_differ_in_the_dropout_alone_and_come_from_the_seed(model):
    state = torch.get_rng_state()
    each = passes.with_dropout(model, IMAGES, ROWS, 6, seed=1)
    assert (torch.get_rng_state() == state).all()
    assert each.shape == (6, 10, 3)
    assert np.ptp(each, axis=0).min() > 0
    np.testing.assert_array_equal(each, passes.with_dropout(model, IMAGES, ROWS, 6, seed=1))
    assert not np.array_equal(each, passes.with_dropout(model, IMAGES, ROWS, 6, seed=2))
    assert not any(module.training for module in model.modules())


def test_a_backbone_without_dropout_computes_each_image_once(model, monkeypatch):
    seen: list[int] = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda x: seen.append(len(x)) or encode(x))
    passes.with_dropout(model, IMAGES, ROWS, 20, seed=0)
    assert seen == [10]
    monkeypatch.setattr(passes, "dropouts", lambda module: [module] if module is model.backbone else [])
    seen.clear()
    passes.with_dropout(model, IMAGES, ROWS, 20, seed=0)
    assert sum(seen) == 200


def test_the_mean_of_many_passes_is_that_of_passes_one_by_one(model):
    together = passes.with_dropout(model, IMAGES, ROWS, 400, seed=0).mean(axis=0)
    with passes.dropping(model, seed=5), torch.inference_mode():
        x = model.encode(model.normalise(passes.as_tensor(IMAGES[ROWS])))
        single = np.mean([passes.probabilities(model.decode(x, (32, 32))) for _ in range(400)], axis=0)
    np.testing.assert_allclose(together, single, atol=0.05)


def test_views_of_an_image_depend_on_its_row_and_the_seed_alone(model):
    steps = [{"Affine": {"rotate": [-20, 20], "p": 1.0}}]
    each = passes.augmented(model, IMAGES, ROWS, steps, 3, seed=0)
    assert np.ptp(each, axis=0).max() > 0
    np.testing.assert_allclose(each[:, 4:5], passes.augmented(model, IMAGES, ROWS[4:5], steps, 3, seed=0), atol=1e-6)


def test_entropy_mutual_information_and_spread_are_their_formulas():
    each = np.random.default_rng(0).dirichlet([1, 1, 1], size=(5, 7))
    own, mean = uncertainty.spread(each), each.mean(axis=0)
    total = -(mean * np.log(mean)).sum(axis=1)
    within = np.mean([-(p * np.log(p)).sum(axis=1) for p in each], axis=0)
    np.testing.assert_allclose(own["entropy"], total)
    np.testing.assert_allclose(own["mutual_information"], total - within)
    np.testing.assert_allclose(own["sd"], [each[:, i, mean[i].argmax()].std() for i in range(7)])
    alike = uncertainty.spread(np.repeat(each[:1], 4, axis=0))
    np.testing.assert_allclose(alike["mutual_information"], 0, atol=1e-12)
