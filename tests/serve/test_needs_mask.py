"""A model that learned from images cropped to a mask asks for one."""

from __future__ import annotations

import numpy as np
import pytest
from starlette.testclient import TestClient

from stages.serve.http.app import make_app
from stages.serve.http.metrics import Metrics
from stages.serve.http.models import Models
from stages.serve.params import Http
from stages.serve.service import Service

from . import planted_export
from .planted_export import SIDE, expected, png

SLOPE = 0.05


@pytest.fixture
def film():
    """Bright in its upper left quarter, which the mask covers, and dark elsewhere."""
    image = np.full((2 * SIDE, 2 * SIDE), 20, np.uint8)
    image[:SIDE, :SIDE] = 140
    mask = np.zeros_like(image)
    mask[:SIDE, :SIDE] = 255
    return image, mask


def client_of(folder, without_mask):
    planted_export.write(folder, SLOPE, steps=[{"CropToMask": {"margin": 0.0, "without_mask": without_mask}}])
    models = Models(Metrics(), Service.open)
    models.serve(folder)
    return TestClient(make_app(models, Metrics(), Http(log=False), None, None))


def test_the_server_asks_for_the_mask_and_crops_to_it(tmp_path, film):
    image, mask = film
    with client_of(tmp_path / "one", "refuse") as client:
        refusal = client.post("/predict", files={"image": png(image)})
        answer = client.post("/predict", files={"image": png(image), "mask": png(mask)}).json()
    assert refusal.status_code == 422
    assert "field `mask`" in refusal.json()["detail"]
    assert answer["probabilities"]["sick"] == pytest.approx(expected(image[:SIDE, :SIDE], SLOPE), abs=1e-5)


def test_a_recipe_that_allows_images_without_a_mask_leaves_them_whole(tmp_path, film):
    image, _ = film
    with client_of(tmp_path / "one", "whole") as client:
        answer = client.post("/predict", files={"image": png(image)}).json()
    assert answer["probabilities"]["sick"] == pytest.approx(expected(image, SLOPE), abs=1e-5)
