"""Are maps worth anything? Each check against its definition, and against networks whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from stages.compare.page import trust
from stages.explain import Params
from stages.explain.checks import curves, likeness, masks, place, shuffled
from stages.explain.checks.estimates import Draws, verdict
from stages.explain.checks.examine import Examination, examine
from stages.explain.checks.sample import draw
from stages.shared.arrays.arrays import Arrays
from stages.shared.arrays.preprocessing import PreprocessSpec
from stages.shared.measures import faithfulness
from stages.shared.measures.judge import Resampling
from stages.shared.model.model import Classifier
from stages.shared.model.recipe import Architecture
from stages.shared.tasks.models import create

CLASSES = ["normal", "sick"]
SIDE, COUNT = 64, 60
CORNER, LESION = (slice(0, 8), slice(0, 8)), (slice(32, 40), slice(40, 48))
LUNG = (slice(16, 56), slice(12, 52))


def predictions(labels: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Two images a patient; the first ten validate."""
    return pd.DataFrame(
        {
            "path": [f"{i:03d}.png" for i in range(len(labels))],
            "patient": [f"p{i // 2}" for i in range(len(labels))],
            "group": np.arange(len(labels)) // 2,
            "label": pd.Categorical.from_codes(labels, CLASSES),
            "predicted": pd.Categorical.from_codes(predicted, CLASSES),
            "split": np.where(np.arange(len(labels)) < 10, "val", "test"),
        }
    )


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    return predictions(labels, np.where(rng.random(200) < 0.05, 1 - labels, labels))


def test_a_sample_has_all_rare_outcomes_and_stands_for_the_whole_test_split(table: pd.DataFrame) -> None:
    sample, test = draw(table, CLASSES, 40, seed=0), table[table["split"] == "test"]
    wrong = test[test["label"].astype(str) != test["predicted"].astype(str)]
    assert set(wrong["path"]) <= set(sample.table["path"]) <= set(test["path"])
    assert len(sample.table) == 40
    for own in sample.strata:
        there = test[
            (test["label"] == own.label) & ((test["label"].astype(str) == test["predicted"].astype(str)) == own.correct)
        ]
        assert own.of == len(there)
        assert sample.weights[sample.table["path"].isin(there["path"])].sum() == pytest.approx(own.of)
    assert {(own.label, own.correct): own.outcome for own in sample.strata} == {
        ("normal", True): "TN", ("normal", False): "FP", ("sick", True): "TP", ("sick", False): "FN",
    }  # fmt: skip


def test_means_over_a_sample_are_those_of_the_split_that_it_stands_for(table: pd.DataFrame) -> None:
    """The share of wrong predictions is that of the test split, though the sample has many more of them."""
    sample, test = draw(table, CLASSES, 40, seed=0), table[table["split"] == "test"]
    draws = Draws(sample.weights, sample.clusters, Resampling(200, 0.95, 0))
    values = {"wrong": 1.0 * ~sample.correct, "undefined": np.full(40, np.nan)}
    means = draws.means(values)
    share = (test["label"].astype(str) != test["predicted"].astype(str)).mean()
    assert means["wrong"]["value"] == pytest.approx(share)
    assert means["undefined"] == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize(
    ("low", "high", "higher", "expected"),
    [(0.1, 0.2, True, "better"), (0.1, 0.2, False, "worse"), (-0.2, -0.1, False, "better"), (-0.1, 0.2, True, "not shown to differ"), (None, None, True, "not shown to differ")],
)  # fmt: skip
def test_a_verdict_needs_an_interval_without_zero(low: float, high: float, higher: bool, expected: str) -> None:
    assert verdict({"value": 0.0, "low": low, "high": high}, higher) == expected


def test_place_of_heat_that_is_known() -> None:
    maps = np.zeros((4, 20, 40), np.float32)
    maps[0, 5, 30] = 1
    maps[1] = 0.3
    maps[2, 10, [9, 29]] = 0.5
    own = place.place(maps)
    assert own["row"][:2] == pytest.approx([5.5 / 20, 0.5])
    assert own["column"][:2] == pytest.approx([30.5 / 40, 0.5])
    assert own["spread"][[0, 2]] == pytest.approx([0, 10 / np.hypot(20, 40)])
    assert own["entropy"][:2] == pytest.approx([0, 1], abs=1e-9)
    assert own["entropy"][2] == pytest.approx(np.log(2) / np.log(800))
    assert own["border"][:2] == pytest.approx([0, 1 - 0.8 * 0.8])
    assert all(np.isnan(values[3]) for values in own.values())


@pytest.mark.parametrize(
    ("row", "column", "name"),
    [(0.1, 0.1, "the upper left corner"), (0.5, 0.5, "the centre"), (0.9, 0.5, "the lower part"), (0.25, 0.3, "the upper left part")],
)  # fmt: skip
def test_places_have_names(row: float, column: float, name: str) -> None:
    assert place.name_of(row, column) == name


def test_rank_correlation_is_spearmans() -> None:
    maps, others = np.random.default_rng(0).random((2, 5, 16, 16)).astype(np.float32)
    maps[0, :8] = 0
    maps[4] = 0
    values = likeness.rank_correlation(maps, others)
    assert values[:4] == pytest.approx(
        [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(maps[:4], others[:4], strict=True)]
    )
    assert np.isnan(values[4])


def test_consistency_is_a_mean_over_pairs_of_images_of_other_patients() -> None:
    rng = np.random.default_rng(0)
    maps, classes, clusters = rng.random((7, 8, 8)), np.array([0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 1, 2, 2, 3, 4])
    maps[6] = 0
    weights = np.stack([np.ones(7), rng.integers(0, 3, 7)])
    values = likeness.consistency(likeness.correlations(maps), classes, clusters, weights)
    for r, weight in enumerate(weights):
        sums = {True: [0.0, 0.0], False: [0.0, 0.0]}
        for i, j in product(range(6), range(6)):
            if clusters[i] != clusters[j]:
                part = sums[bool(classes[i] == classes[j])]
                part[0] += weight[i] * weight[j] * np.corrcoef(maps[i].ravel(), maps[j].ravel())[0, 1]
                part[1] += weight[i] * weight[j]
        assert values["within"][r] == pytest.approx(sums[True][0] / sums[True][1])
        assert values["between"][r] == pytest.approx(sums[False][0] / sums[False][1])


def test_heat_in_a_mask_and_what_lies_there_without_a_map() -> None:
    rng = np.random.default_rng(0)
    maps, images = rng.random((3, 6, 6)), rng.integers(0, 256, (3, 6, 6, 1), dtype=np.uint8)
    maps[1] = 0
    numbers = np.zeros((3, 6, 6), np.uint8)
    numbers[:, :2], numbers[:, 2, :3] = 1, 2
    regions = masks.regions(numbers, np.array([True, True, False]), ["lung", "lesion"])
    assert [name for name, own in regions.items() if own[0].any()] == ["lung", "lesion", masks.ANY]
    inside, beside = masks.inside(maps, regions["lung"]), masks.baselines(images, regions["lung"])
    assert inside["energy"][0] == pytest.approx(maps[0, :2].sum() / maps[0].sum())
    assert inside["pointing"][0] == (np.argmax(maps[0]) < 12)
    assert beside["area"][:2] == pytest.approx([1 / 3, 1 / 3])
    assert beside["brightness"][0] == pytest.approx(images[0, :2].sum() / images[0].sum())
    assert np.isnan(inside["energy"][1:]).all(), "no heat, and not annotated"
    assert np.isnan(beside["area"][2])


def test_a_random_map_is_the_same_for_every_model_and_sample() -> None:
    first, second = (curves.random_maps(np.array(rows), (32, 48), 0) for rows in ([4, 9], [9, 30]))
    assert first.shape == (2, 32, 48)
    assert np.array_equal(first[1], second[0])
    assert not np.array_equal(first[0], first[1])


def test_areas_equal_the_definition_and_a_map_without_heat_is_the_random_one(
    make_reader: Callable[..., Classifier],
) -> None:
    weights = torch.zeros(8, 8)
    weights[4, 5] = 1
    model, rng = make_reader(weights), np.random.default_rng(0)
    images, targets = rng.integers(0, 256, (4, SIDE, SIDE, 1), dtype=np.uint8), np.array([1, 1, 0, 0])
    images[:2, *LESION] = 250
    hot = np.zeros((4, SIDE, SIDE), np.float32)
    hot[:, *LESION] = 1
    random = curves.random_maps(np.arange(4), (SIDE, SIDE), 0)
    areas = curves.areas(model, images, targets, {"hot": hot, "cold": 0 * hot, "random": random}, random, [0.25, 0.5])
    for kind in ("deletion", "insertion"):
        assert np.array_equal(areas["cold"][kind], areas["random"][kind])

    order = np.argsort(-random[0].ravel(), kind="stable")
    probabilities = []
    for share in (0, 0.25, 0.5, 1):
        changed = images[0].astype(float).ravel()
        changed[order[: round(share * SIDE**2)]] = images[0].mean()
        with torch.no_grad():
            logits = model(torch.from_numpy(changed.reshape(1, 1, SIDE, SIDE)).float())
        probabilities.append(float(logits.softmax(dim=1)[0, 1]))
    assert areas["random"]["deletion"][0] == pytest.approx(np.trapezoid(probabilities, [0, 0.25, 0.5, 1]), abs=1e-5)
    assert areas["hot"]["deletion"][:2].mean() < areas["random"]["deletion"][:2].mean() - 0.1
    assert areas["hot"]["insertion"][:2].mean() > areas["random"]["insertion"][:2].mean() + 0.1


def test_shuffled_weights_are_the_same_numbers_in_other_places() -> None:
    torch.manual_seed(0)
    model = create("classification", Architecture(source="lightbox", name="small_cnn"), 2).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)
    first, second = (shuffled.shuffled(model, images, seed) for seed in (0, 0))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "the model stays"
    for (name, own), again in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(own, again)
        assert torch.equal(own.flatten().sort().values, before[name].flatten().sort().values)
    conv = first.get_parameter("backbone.network.blocks.2.conv.weight")
    assert not torch.equal(conv, before["backbone.network.blocks.2.conv.weight"])
    with torch.no_grad():
        assert first.backbone(model.normalise(torch.from_numpy(images).permute(0, 3, 1, 2))).std() > 1e-3
    assert not first.training


def test_maps_that_vanish_with_shuffled_weights_are_not_alike() -> None:
    maps = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    maps[2] = 0
    other = maps.copy()
    other[1] = 0
    values = shuffled.similarity(maps, other)
    assert values[:2] == pytest.approx([1, 0])
    assert np.isnan(values[2])


@pytest.fixture(scope="module")
def films() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(images, labels, masks): a lung in the middle (1); every sick one has a bright lesion in it (2), and a bright
    mark in the corner of the image."""
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1, 1, 0], COUNT // 4)
    images = rng.integers(60, 140, (COUNT, SIDE, SIDE, 1), dtype=np.uint8)
    numbers = np.zeros((COUNT, SIDE, SIDE), np.uint8)
    numbers[:, *LUNG] = 1
    for i in np.flatnonzero(labels):
        images[i, *LESION], images[i, *CORNER] = 235, 235
        numbers[i, *LESION] = 2
    return images, labels, numbers


def examined(model: Classifier, films: tuple[np.ndarray, np.ndarray, np.ndarray], **params: object) -> Examination:
    images, labels, numbers = films
    with torch.no_grad():
        predicted = model(torch.from_numpy(images).permute(0, 3, 1, 2)).argmax(dim=1).numpy()
    table = predictions(labels, predicted)
    index = pd.DataFrame({"path": table["path"], "has_mask": True})
    spec = PreprocessSpec.model_validate({"mode": "grey", "size": SIDE, "steps": [], "keep_aspect": False})
    arrays = Arrays(images, index, CLASSES, spec, "", numbers, ["lung", "lesion"])
    return examine(model, arrays, table, CLASSES, Params.model_validate({"images": 30, "bootstrap": 200} | params))


def reads(make_reader: Callable[..., Classifier], row: int, column: int) -> Classifier:
    weights = torch.zeros(8, 8)
    weights[row, column] = 1
    return make_reader(weights)


def test_a_model_that_reads_a_mark_in_the_corner_is_said_to_look_there(
    make_reader: Callable[..., Classifier], films: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    found = examined(reads(make_reader, 0, 0), films).numbers["methods"]["grad_cam"]
    (peak,) = (own for own in found["peaks"] if own["predicted"] == "sick")
    assert peak["where"] == "the upper left corner"
    assert peak["inside"] == {"lung": 0, "lesion": 0, masks.ANY: 0}
    assert found["structures"]["lesion"]["energy"]["value"] < 0.02
    assert found["structures"]["lung"]["against_area"]["verdict"] == "worse"
    assert found["deletion"]["against_random"]["verdict"] == "better", (
        "the map is faithful; the model is not to be trusted"
    )
    line = trust.line(found)
    assert "in the upper left corner of the image for sick (outside the lung and the lesion)" in line


def test_a_model_that_reads_the_lesion_is_said_to_look_there(
    make_reader: Callable[..., Classifier], films: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    found = examined(reads(make_reader, 4, 5), films).numbers["methods"]["grad_cam"]
    (peak,) = (own for own in found["peaks"] if own["predicted"] == "sick")
    assert peak["inside"]["lesion"] == 1
    lesion = found["structures"]["lesion"]
    assert lesion["pointing"]["value"] == 1
    assert lesion["against_area"]["verdict"] == lesion["against_brightness"]["verdict"] == "better"
    assert found["randomisation"]["verdict"] == "passes"
    assert faithfulness.verdict(found) == faithfulness.FOLLOWS
    assert "outside" not in trust.line(found)


def test_every_number_can_be_computed_again_from_the_table_of_maps(
    make_reader: Callable[..., Classifier], films: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    methods = ["grad_cam", "eigen_cam"]
    own = examined(reads(make_reader, 4, 5), films, methods=methods)
    for name in methods:
        rows, numbers = own.table[own.table["method"] == name], own.numbers["methods"][name]
        assert len(rows) == own.numbers["sample"]["images"] == 30

        def mean(values: pd.Series, rows: pd.DataFrame = rows) -> float:
            there = values.notna()
            return float(np.average(values[there], weights=rows["weight"][there]))

        difference = rows["deletion"] - rows["deletion_random"]
        assert numbers["deletion"]["against_random"]["value"] == pytest.approx(mean(difference))
        assert numbers["randomisation"]["value"] == pytest.approx(mean(rows["similarity"]))
        lesion = numbers["structures"]["lesion"]
        assert lesion["energy"]["value"] == pytest.approx(mean(rows["energy_lesion"]))
        assert lesion["images"] == (rows["correct"] & (rows["label"] == "sick")).sum()
        assert numbers["place"]["border"]["value"] == pytest.approx(mean(rows["border"]))
    agreement = {name: own.numbers["methods"][name]["agreement"] for name in methods}
    assert agreement["grad_cam"]["eigen_cam"] == agreement["eigen_cam"]["grad_cam"]


def test_without_checks_the_maps_are_only_described(
    make_reader: Callable[..., Classifier], films: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    found = examined(reads(make_reader, 4, 5), films, checks=False).numbers["methods"]["grad_cam"]
    assert "deletion" not in found
    assert found["structures"]["lung"]["images"] == 15, "of normal ones the map has no heat"
    assert faithfulness.verdict(found) == faithfulness.UNTESTED
    assert trust.line(found).endswith("was not tested (explain.checks).")
