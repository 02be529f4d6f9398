"""Which images explain shows of an anomaly detector, and what their pictures are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from stages.explain import Params
from stages.explain.cases import anomaly
from stages.explain.cases.middle import middle_first
from stages.shared.arrays.arrays import load_arrays
from stages.shared.model.recipe import Architecture
from stages.shared.tasks import anomaly as task
from stages.shared.tasks.models import create

CLASSES = ["normal", "bacterial", "viral"]


def predictions(n: int = 90) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "path": [f"p{i // 2:02d}_{i}.png" for i in range(n)],
            "label": pd.Categorical.from_codes(np.repeat(rng.integers(0, 3, n // 2), 2), CLASSES),
            "patient": [f"p{i // 2:02d}" for i in range(n)],
            "split": np.where(np.arange(n) < 20, "val", "test"),
            "score": rng.gamma(2, size=n),
            "threshold": 1.5,
        }
    )


@pytest.fixture
def chosen() -> pd.DataFrame:
    return anomaly.choose(predictions(), CLASSES, Params(scores=2, common=4, seed=0))


def test_the_ends_and_the_middle_of_both_kinds_of_images_are_chosen(chosen: pd.DataFrame) -> None:
    test = predictions().query("split == 'test'")
    assert set(chosen["path"]) <= set(test["path"])
    for anomalous, own in ((False, test[test["label"] == "normal"]), (True, test[test["label"] != "normal"])):
        of_kind = chosen[chosen["anomalous"] == anomalous].set_index("kind")["score"]
        assert of_kind["highest"].iloc[0] == own["score"].max()
        assert of_kind["lowest"].iloc[0] == own["score"].min()
        nearest = (own["score"].rank() - (len(own) + 1) / 2).abs()
        assert of_kind["median"].iloc[0] in set(own["score"][nearest == nearest.min()])
    kinds = chosen.groupby(["anomalous", "kind"]).size()
    assert (kinds.drop(index="common", level="kind") == 2).all()
    assert not chosen.duplicated(["patient", "anomalous", "kind"]).any()


def test_common_images_depend_on_no_score_and_take_turns(chosen: pd.DataFrame) -> None:
    other = predictions().assign(score=lambda table: -table["score"])
    again = anomaly.choose(other, CLASSES, Params(scores=2, common=4, seed=0))
    paths = [list(own.loc[own["kind"] == "common", "path"]) for own in (chosen, again)]
    assert paths[0] == paths[1]
    assert sorted(chosen.loc[chosen["kind"] == "common", "anomalous"]) == [False, False, True, True]


@pytest.mark.parametrize(("count", "first"), [(1, [0]), (4, [1, 2]), (5, [2, 1, 3])])
def test_the_middle_of_a_table_comes_first(count: int, first: list[int]) -> None:
    table = pd.DataFrame({"row": range(count)}, index=range(100, 100 + count))
    assert list(middle_first(table)["row"])[: len(first)] == first


def test_an_alarm_is_above_the_threshold_and_not_on_it() -> None:
    row = {"label": "viral", "anomalous": True, "kind": "median", "threshold": 1.5}
    assert [anomaly.facts({**row, "score": score})["alarm"] for score in (1.4, 1.5, 1.6)] == [False, False, True]


def test_a_map_is_dark_at_normal_pixels_and_bright_where_it_is_hottest() -> None:
    maps = np.ones((2, 10, 10))
    maps[0, 0] = 0.5
    maps[1, :2] = 3.0
    maps[1, 2] = 2.0
    levels = anomaly.grey(maps, np.array([True, False]))
    assert (levels[0] == 0).all()
    assert (levels[1, :2] == 255).all()
    assert (levels[1, 2] == 128).all()
    assert (anomaly.grey(np.ones((1, 4, 4)), np.array([True])) == 0).all()


class DrawsOneImage(nn.Module):
    """A head that draws the same grey in every image."""

    def forward(self, last: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return torch.full((len(last), 3, *size), 100 / 255)


def test_an_autoencoder_has_its_reconstruction_and_a_map_of_its_errors(processed) -> None:
    model = create("anomaly", Architecture(source="lightbox", name="small_cnn"), 2)
    model.head = DrawsOneImage()
    arrays = load_arrays()
    rows = np.arange(3)
    chosen = pd.DataFrame({"anomalous": [False, True, True]})
    pictures = anomaly.pictures(model, arrays, rows, chosen, Params())
    assert [set(own) for own in pictures.each] == [{"image", "heatmap", "reconstruction"}] * 3
    assert all((own["reconstruction"] == 100).all() for own in pictures.each)
    wrong = (arrays.images[rows].astype(float).squeeze(-1) - 100) / 255
    means = task.predict(model, arrays, rows).table["score"]
    assert means.to_numpy() == pytest.approx((wrong**2).mean(axis=(1, 2)), rel=1e-4)
    assert pictures.arrays["heatmaps"].shape == wrong.shape
