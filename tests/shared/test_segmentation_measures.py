"""Scores of masks and the metrics of segmentation: by hand, by brute force over all pairs of pixels, and by MONAI."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, stats

from stages.shared.measures.intervals import draws
from stages.shared.measures.judge import Resampling, judge
from stages.shared.measures.measure import Truth
from stages.shared.measures.scoring import SCORES, scored, scores_of
from stages.shared.measures.segmentation import (
    MEASURES,
    PER_CASE,
    Answers,
    counts,
    measures,
    one_class,
    per_class,
    rated,
)  # fmt: skip
from stages.shared.measures.statistics import once
from stages.shared.measures.surfaces import boundary_distances, surface_scores
from stages.shared.model.decision import KEPT, LEVELS, choose, dice_of_decisions, largest, mask_of
from stages.shared.model.recipe import Decision

OPTIONS = SimpleNamespace(surface_tolerance=0.005)
OVERLAP = ("dice", "iou", "precision", "recall")


def square(top, left, side, size=20):
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def blobs(rng, size=48, classes=1):
    """Smooth shapes of class numbers, not empty."""
    field = ndimage.gaussian_filter(rng.normal(size=(size, size)), 4)
    return np.digitize(field, np.quantile(field, np.linspace(0.7, 0.95, classes))).astype(np.uint8)


def truth_of(masks, structures=("lung",), originals=None):
    import cv2

    def restore(values, size):
        return cv2.resize(values, size[::-1], interpolation=cv2.INTER_LINEAR)

    plain = Decision(level=128, kept=(0,) * len(structures))
    original = dict(enumerate(originals or []))
    return Truth(
        np.asarray(masks), list(structures), original.get, restore, None, plain, partial(mask_of, decision=plain)
    )


def rows(n, splits="test", patients=None):
    patients = [f"p{i}" for i in range(n)] if patients is None else patients
    return pd.DataFrame(
        {"path": [f"{i:03d}.png" for i in range(n)], "label": "x", "patient": patients, "group": patients}
    ).assign(split=splits)


def maps_of(predicted, structures=1, sure=255):
    """Probabilities of class numbers n×H×W."""
    predicted = np.asarray(predicted)
    return np.stack([(predicted == k + 1) * np.uint8(sure) for k in range(structures)], axis=1)


def table_of(predicted, masks, structures=("lung",), splits="test", **options):
    predicted = maps_of(predicted, len(structures))
    return scored(rows(len(masks), splits), predicted, truth_of(masks, structures, **options), OPTIONS)


# one image


def test_a_perfect_mask():
    scores = scores_of(square(4, 4, 6), square(4, 4, 6), ["lung"], 0.005)
    assert [scores[f"{name}:lung"] for name in ("tp", "fp", "fn", "tn")] == [36, 0, 0, 364]
    assert [scores[f"{name}:lung"] for name in SCORES] == [1, 1, 1, 1, 0, 0, 1]


def test_a_shifted_mask_by_hand():
    """Squares of 4×4, one of them two pixels to the right: 8 of 16 pixels in common."""
    scores = scores_of(square(4, 6, 4), square(4, 4, 4), ["lung"], 0.005)
    assert [scores[f"{name}:lung"] for name in ("tp", "fp", "fn", "tn")] == [8, 8, 8, 376]
    assert [scores[f"{name}:lung"] for name in OVERLAP] == [0.5, pytest.approx(1 / 3), 0.5, 0.5]
    # of 12 boundary pixels: the right side is 2 away, the corners of the second column from there 1
    distances = sorted(boundary_distances(square(4, 6, 4) == 1, square(4, 4, 4) == 1)[0])
    assert distances == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert scores["mean_surface_distance:lung"] == pytest.approx(1)
    assert scores["surface_dice:lung"] == pytest.approx(8 / 12)


@pytest.mark.parametrize(
    ("predicted", "truth", "overlap"),
    [(0, 6, [0, 0, 0, 0]), (6, 0, [0, 0, 0, np.nan])],
    ids=["missed", "false alarm"],
)
def test_one_empty_mask_costs_the_diagonal(predicted, truth, overlap):
    scores = scores_of(square(4, 4, predicted), square(4, 4, truth), ["lung"], 0.005)
    assert [scores[f"{name}:lung"] for name in OVERLAP] == pytest.approx(overlap, nan_ok=True)
    assert scores["hd95:lung"] == scores["mean_surface_distance:lung"] == pytest.approx(800**0.5)
    assert scores["surface_dice:lung"] == 0


def test_two_empty_masks_are_not_defined():
    scores = scores_of(square(0, 0, 0), square(0, 0, 0), ["lung"], 0.005)
    assert all(np.isnan(scores[f"{name}:lung"]) for name in SCORES)
    assert scores["tn:lung"] == 400


def test_the_tolerance_is_a_share_of_the_diagonal_and_at_least_a_pixel():
    small = scores_of(square(4, 5, 6), square(4, 4, 6), ["lung"], 0.0)
    assert small["surface_dice:lung"] == 1
    off = scores_of(square(4, 6, 6), square(4, 4, 6), ["lung"], 0.0)
    assert off["surface_dice:lung"] < 1
    assert scores_of(square(4, 6, 6), square(4, 4, 6), ["lung"], 2 / 800**0.5 + 1e-9)["surface_dice:lung"] == 1


def all_pairs(a, b):
    """Distance from each boundary pixel of `a` to the nearest one of `b`, over all pairs; the boundary pixel by
    pixel, from its definition."""

    def boundary(mask):
        padded = np.pad(mask, 1)
        cross = ((0, 1), (2, 1), (1, 0), (1, 2))
        return [
            (y, x)
            for y, x in np.argwhere(mask)
            if not all(padded[y + dy, x + dx] for dy, dx in cross)
        ]  # fmt: skip

    others = np.array(boundary(b))
    return np.array([np.hypot(*(others - point).T).min() for point in boundary(a)])


@pytest.mark.parametrize("seed", range(8))
def test_distances_equal_all_pairs_of_boundary_pixels(seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.random((15, 23)) < share for share in (0.3, 0.6)) if seed % 2 else (blobs(rng) == 1 for _ in range(2))
    for ours, expected in zip(boundary_distances(a, b), (all_pairs(a, b), all_pairs(b, a)), strict=True):
        assert ours == pytest.approx(expected, abs=1e-12)


def test_a_mask_over_the_whole_image_has_the_edge_as_its_boundary():
    full, dot = np.ones((9, 9), bool), square(4, 4, 1, 9) == 1
    assert len(boundary_distances(full, dot)[0]) == 32
    assert surface_scores(full, dot, 0).hd95 == pytest.approx(np.quantile(all_pairs(full, dot), 0.95))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_monais(seed):
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_dice,
        compute_hausdorff_distance,
        compute_iou,
        compute_surface_dice,
    )

    rng = np.random.default_rng(seed)
    masks, predicted = (np.stack([blobs(rng, classes=2) for _ in range(4)]) for _ in range(2))
    structures = ["lung", "lesion"]
    y, ours = (
        torch.tensor(np.stack([m == k for k in range(3)], axis=1), dtype=torch.float) for m in (masks, predicted)
    )
    tolerance = 0.03 * (2 * 48**2) ** 0.5
    expected = {
        "dice": compute_dice(ours, y, include_background=False),
        "iou": compute_iou(ours, y, include_background=False),
        "hd95": compute_hausdorff_distance(ours, y, percentile=95),
        "mean_surface_distance": compute_average_surface_distance(ours, y, symmetric=True),
        "surface_dice": compute_surface_dice(ours, y, [tolerance] * 2),
    }
    for i in range(len(masks)):
        scores = scores_of(predicted[i], masks[i], structures, 0.03)
        for name, values in expected.items():
            assert [scores[f"{name}:{s}"] for s in structures] == pytest.approx(values[i].tolist(), rel=1e-5), name


# from maps to masks


def test_a_pixel_belongs_to_the_likeliest_structure_where_the_threshold_is_reached():
    maps = np.array([[[60, 100, 90, 0]], [[60, 20, 90, 254]]], np.uint8)  # K×1×4
    assert mask_of(maps, Decision(level=120, kept=(0, 0))).tolist() == [[1, 1, 1, 2]]
    assert mask_of(maps, Decision(level=128, kept=(0, 0))).tolist() == [[0, 0, 1, 2]]
    assert mask_of(maps, Decision(level=255, kept=(0, 0))).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_largest_components_equal_scipys(count):
    mask = np.random.default_rng(0).random((40, 50)) < 0.3
    labels, n = ndimage.label(mask, np.ones((3, 3)))
    sizes = ndimage.sum_labels(mask, labels, np.arange(1, n + 1))
    kept = largest(mask, count)
    assert kept.sum() == np.sort(sizes)[-count:].sum()
    assert len(np.unique(labels[kept])) == count
    assert (kept <= mask).all()
    assert not largest(np.zeros((5, 5), bool), count).any()


def test_the_decision_is_the_best_of_all_on_the_validation_images():
    """Over-confident maps with specks: a threshold above 0.5 and one component have the best Dice."""
    rng = np.random.default_rng(0)
    masks = np.stack([square(3, 3, 8), square(6, 8, 9), square(2, 9, 7)])
    blurred = ndimage.gaussian_filter(masks * 1.0, (0, 1.5, 1.5)) ** 0.3 + 0.01 * rng.random(masks.shape)
    maps = (250 * blurred.clip(0, 1)).astype(np.uint8)[:, None]
    maps[:, :, 18, 1:4] = 250
    decision = choose(maps, masks)
    assert decision.level > 128
    assert decision.kept == (1,)

    def dice(level, kept):
        predicted = np.stack([mask_of(each, Decision(level=level, kept=(kept,))) for each in maps])
        return np.mean([2 * (p & t).sum() / (p.sum() + t.sum()) for p, t in zip(predicted, masks, strict=True)])

    best = max(dice(level, kept) for level in LEVELS for kept in KEPT)
    assert dice(decision.level, *decision.kept) == pytest.approx(best)


def test_dice_of_every_decision_is_that_of_its_mask():
    rng = np.random.default_rng(0)
    maps = (rng.dirichlet((1, 1, 1), (12, 12)).transpose(2, 0, 1)[1:] * 255).astype(np.uint8)
    mask, structures = blobs(rng, 12, 2), ["lung", "lesion"]
    dice = dice_of_decisions(maps, mask)
    for i, level in enumerate(LEVELS):
        for j, kept in enumerate(KEPT):
            scores = scores_of(mask_of(maps, Decision(level=level, kept=(kept, kept))), mask, structures, 0.005)
            assert dice[i, j] == pytest.approx([scores[f"dice:{s}"] for s in structures], nan_ok=True)


@pytest.mark.parametrize("masks", [[square(4, 4, 6)] * 2, [square(0, 0, 0)] * 2, []], ids=["equal", "empty", "none"])
def test_among_equals_the_plainest_decision(masks):
    masks = np.array(masks, np.uint8).reshape(-1, 20, 20)
    assert choose(maps_of(masks), masks) == Decision(level=128, kept=(0,))


# the table


def test_order_and_company_change_no_score():
    rng = np.random.default_rng(1)
    masks, predicted = (np.stack([blobs(rng, classes=2) for _ in range(6)]) for _ in range(2))
    structures = ["lung", "lesion"]
    whole = table_of(predicted, masks, structures)
    order = rng.permutation(6)
    shuffled = table_of(predicted[order], masks[order], structures)
    alone = pd.concat([table_of(predicted[[i]], masks[[i]], structures) for i in range(6)])
    columns = [c for c in whole if ":" in c]
    assert (whole[columns].to_numpy()[order] == shuffled[columns].to_numpy()).sum() > 100
    pd.testing.assert_frame_equal(whole[columns].iloc[order].reset_index(drop=True), shuffled[columns])
    pd.testing.assert_frame_equal(whole[columns], alone[columns].reset_index(drop=True))


def test_the_original_size_is_scored_where_there_is_a_mask_of_that_size():
    """A line of one pixel in the file is two network pixels wide: right at the network's size, half wrong in the file."""
    file = np.zeros((40, 60), np.uint8)
    file[10:30, 11] = 1
    mask = np.zeros((20, 30), np.uint8)
    mask[5:15, 5] = 1
    table = table_of([mask, mask], [mask, mask], originals=[file, None])
    assert table["dice:lung"].tolist() == [1, 1]
    assert 0.5 < table["dice_original:lung"][0] < 0.8
    assert table["hd95_original:lung"][0] >= 1
    assert np.isnan(table["dice_original:lung"][1])
    assert np.isfinite(measures(table, once(2))["dice_original"][0])


def test_without_any_mask_of_the_original_size_its_metrics_are_not_defined():
    values = measures(table_of([square(4, 4, 6)], [square(4, 4, 6)]), once(1))
    assert np.isnan(values["dice_original"][0])
    assert np.isnan(values["hd95_original"][0])
    assert values["dice"][0] == 1


# the metrics


def random_table(rng, n=30, structures=("lung", "lesion")):
    """Some images lack a structure, some predictions too."""
    masks, predicted = (np.stack([blobs(rng, 24, len(structures)) for _ in range(n)]) for _ in range(2))
    for each in (masks, predicted):
        for k in range(len(structures)):
            empty = rng.random(n) < 0.3
            each[empty] *= each[empty] != k + 1
    return table_of(predicted, masks, structures)


def test_weights_count_an_image_that_many_times():
    rng = np.random.default_rng(0)
    table = random_table(rng)
    weights = next(draws(table.group, 6, seed=0))
    values, of_structures = measures(table, weights), per_class(table, weights)
    assert list(values) == list(MEASURES.metrics)
    for r, weight in enumerate(weights):
        repeated = table.loc[np.repeat(table.index, weight)].reset_index(drop=True)
        for drawn, alone in (
            (values, measures(repeated, once(len(repeated)))),
            (of_structures, per_class(repeated, once(len(repeated)))),
        ):
            assert {k: v[r] for k, v in drawn.items()} == pytest.approx(
                {k: v[0] for k, v in alone.items()}, nan_ok=True
            )


def test_metrics_equal_means_by_pandas():
    table = random_table(np.random.default_rng(3))
    values, of_structures = measures(table, once(len(table))), per_class(table, once(len(table)))
    for name in SCORES:
        means = [table[f"{name}:{s}"].mean() for s in ("lung", "lesion")]  # pandas leaves NaN out
        assert [of_structures[s, name][0] for s in ("lung", "lesion")] == pytest.approx(means)
        assert values[name][0] == pytest.approx(np.mean(means))
    assert of_structures["lung", "support"][0] == (table["tp:lung"] + table["fn:lung"] > 0).sum()


def test_pooled_is_not_per_case():
    """A large structure outlined perfectly and a small one missed: per case 0.5, pooled almost 1."""
    masks = [square(0, 0, 19), square(4, 4, 1)]
    values = measures(table_of([masks[0], square(0, 0, 0)], masks), once(2))
    assert values["dice"][0] == 0.5
    assert values["dice_pooled"][0] == pytest.approx(2 * 361 / (2 * 361 + 1))
    assert values["iou_pooled"][0] == pytest.approx(361 / 362)


def test_no_model_gains_by_silence():
    """HD95 of a model that outlines the second image badly, against one that predicts nothing there."""
    masks = [square(4, 4, 6), square(4, 4, 6)]
    bad = measures(table_of([masks[0], square(12, 12, 6)], masks), once(2))
    silent = measures(table_of([masks[0], square(0, 0, 0)], masks), once(2))
    for name in ("hd95", "mean_surface_distance"):
        assert silent[name][0] > bad[name][0], name
    for name in ("dice", "precision", "recall", "surface_dice", "detection_sensitivity"):
        assert silent[name][0] <= bad[name][0], name


EMPTY = square(0, 0, 0)
FOUR_CASES = table_of(
    [square(4, 4, 6), EMPTY, square(4, 4, 6), EMPTY], [square(4, 4, 6), square(4, 4, 6), EMPTY, EMPTY]
)


def test_detection_is_a_rate_over_images():
    values = measures(FOUR_CASES, once(4))
    assert (values["detection_sensitivity"][0], values["detection_specificity"][0]) == (0.5, 0.5)
    parts = rated(FOUR_CASES)
    assert [part.tolist() for part in parts["detection_sensitivity"]] == [[True, True, False, False]]
    assert [part.tolist() for part in parts["lung", "detection_specificity"]] == [[False, False, True, True]]
    everywhere = measures(FOUR_CASES[:2], once(2))
    assert np.isnan(everywhere["detection_specificity"][0])
    assert "detection_specificity" not in rated(FOUR_CASES[:2])


def test_special_cases_are_counted_and_undefined_ones_have_no_weight():
    assert counts(FOUR_CASES) == {"lung": {"present": 2, "misses": 1, "false_alarms": 1, "undefined": 1}}
    assert measures(FOUR_CASES, once(4))["dice"][0] == pytest.approx(1 / 3)
    assert np.isnan(measures(FOUR_CASES, np.array([[0, 0, 0, 2]]))["dice"][0])


def test_a_structure_that_is_nowhere_does_not_make_the_others_undefined():
    table = table_of([square(4, 4, 6)], [square(4, 4, 6)], ["lung", "lesion"])
    assert measures(table, once(1))["dice"][0] == 1
    assert np.isnan(per_class(table, once(1))["lesion", "dice"][0])
    assert Answers(table).image("dice").tolist() == [1]
    assert Answers(table).structures == ["lung", "lesion"]


@pytest.mark.parametrize(
    ("predicted", "masks", "expected"),
    [
        ([EMPTY] * 50, [square(4, 4, 6)] * 50, {"class": "nothing", "share": 1.0}),
        ([EMPTY] * 49 + [square(4, 4, 6)], [square(4, 4, 6)] * 50, {"class": "nothing", "share": 0.98}),
        ([EMPTY + 1] * 50, [square(4, 4, 6)] * 50, {"class": "everything", "share": 1.0}),
        ([EMPTY] * 50, [EMPTY] * 50, None),
        ([EMPTY] * 49 + [square(4, 4, 6)], [EMPTY] * 49 + [square(4, 4, 6)], None),
        ([square(4, 4, 6)] * 50, [EMPTY] * 50, None),
    ],
)
def test_a_model_that_predicts_nothing_or_everything_is_named(predicted, masks, expected):
    assert one_class(table_of(predicted, masks)) == expected


# intervals


def judged(dice, patients=None):
    """The estimates of test images with this Dice, of one structure of 1,000 pixels predicted with as many."""
    tp = 1000 * np.asarray(dice, float)
    table = rows(len(tp), patients=patients).assign(**dict.fromkeys([f"{name}:lung" for name in PER_CASE], np.nan))
    counted = {"tp:lung": tp, "fp:lung": 1000 - tp, "fn:lung": 1000 - tp, "tn:lung": 9000.0, "dice:lung": dice}
    table = table.assign(**counted)
    judgement = judge(pd.concat([table.assign(split="val"), table]), MEASURES, Resampling(4000, 0.95, 0))
    return judgement.numbers["test"] | judgement.numbers["per_class"]


def test_the_interval_of_a_mean_dice_is_as_wide_as_students():
    """It has the variance of the scores, far below that of right and wrong; near 1 it is longer towards lower values."""
    dice = np.random.default_rng(0).beta(40, 3, 40)
    numbers = judged(dice)
    half = stats.t.ppf(0.975, 39) * stats.sem(dice)
    for estimate in (numbers["dice"], numbers["lung"]["dice"], numbers["dice_pooled"]):
        assert estimate["value"] == pytest.approx(dice.mean())
        assert estimate["high"] - estimate["low"] == pytest.approx(2 * half, rel=0.05)
        assert estimate["value"] - estimate["low"] > estimate["high"] - estimate["value"]


def test_images_of_one_patient_make_the_interval_no_narrower():
    dice = np.random.default_rng(0).beta(40, 3, 20)
    once_each, thrice = judged(dice), judged(np.repeat(dice, 3), np.repeat([f"p{i}" for i in range(20)], 3))
    for end in ("low", "high"):
        assert thrice["dice"][end] == pytest.approx(once_each["dice"][end], abs=0.002)


def test_perfect_scores_of_all_images_have_an_interval_with_width():
    estimate = judged(np.ones(15))["dice"]
    assert estimate["value"] == estimate["high"] == 1
    assert 0.7 < estimate["low"] < 0.95
