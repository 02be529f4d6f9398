"""Metrics and thresholds of anomaly detection, against scikit-learn and by simulation."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import label
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score, roc_curve

from stages.evaluate.params import Params
from stages.shared.core.errors import UserError
from stages.shared.core.judging import OperatingPoint
from stages.shared.measures import MEASURES
from stages.shared.measures.anomaly import measures, scored
from stages.shared.measures.judge import Resampling, judge
from stages.shared.measures.measure import Truth
from stages.shared.measures.pixels import counted
from stages.shared.measures.statistics import ranking
from stages.shared.measures.threshold import choose, normal_quantile, youden

TASK = MEASURES["anomaly"]
NO_TRUTH = Truth(np.zeros((0, 8, 8), np.uint8), [], lambda i: None, lambda values, size: values)


def table(images=120, shift=1.0, seed=0, classes=("normal", "virus", "bacteria")):
    """Half of them validation; anomalous ones score higher by `shift`."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, len(classes), images)
    return pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(images)],
            "label": pd.Categorical.from_codes(codes, categories=list(classes)),
            "patient": [f"p{i // 2}" for i in range(images)],
            "group": np.arange(images) // 2,
            "split": np.where(np.arange(images) < images // 2, "val", "test"),
            "score": (rng.normal(size=images) + shift * (codes > 0)).round(2),
        }
    )


def judged(rows, **threshold):
    options = Params(operating_point=OperatingPoint(**threshold))
    return scored(rows, None, NO_TRUTH, options)


def test_every_metric_is_that_of_scikit_learn():
    rows = judged(table())
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 4, (3, len(rows))).astype(float)
    truth, alarm = (rows["label"] != "normal").to_numpy(), rows["predicted"] == "anomalous"
    values = measures(rows, weights)
    for i, weight in enumerate(weights):
        given = {"sample_weight": weight}
        assert values["auroc"][i] == pytest.approx(roc_auc_score(truth, rows["score"], **given))
        assert values["auprc"][i] == pytest.approx(average_precision_score(truth, rows["score"], **given))
        assert values["balanced_accuracy"][i] == pytest.approx(balanced_accuracy_score(truth, alarm, **given))
        fpr, tpr, _ = roc_curve(truth, rows["score"], drop_intermediate=False, **given)
        for specificity in (0.90, 0.95):
            expected = tpr[1 - fpr >= specificity - 1e-9].max()
            assert values[f"sensitivity_at_{specificity * 100:.0f}"][i] == pytest.approx(expected)
        assert values["sensitivity"][i] == pytest.approx(np.average(alarm[truth], weights=weight[truth]))
        assert values["specificity"][i] == pytest.approx(np.average(~alarm[~truth], weights=weight[~truth]))


def lesions(seed=0, skill=1.0):
    """Twelve rows with maps of 24×24 pixels; two square lesions in every anomalous one, brighter by `skill`."""
    rng = np.random.default_rng(seed)
    rows = table(12, seed=3)
    masks = np.zeros((12, 24, 24), np.uint8)
    for i in np.flatnonzero(rows["label"] != "normal"):
        y, x, side = rng.integers(1, 6, 3)
        masks[i, y : y + side, x : x + side] = 1
        masks[i, 15:17, 14:18] = 1
    maps = (rng.normal(size=masks.shape) + skill * masks).astype(np.float16)
    return rows, maps, Truth(masks, ["lesion"], lambda i: None, lambda values, size: values, np.ones(12, dtype=bool))


def test_pixels_are_ranked_as_scikit_learn_ranks_them():
    rows, maps, truth = lesions()
    outlined = scored(rows, maps, truth, Params())
    weights = np.random.default_rng(1).integers(0, 3, (3, 12)).astype(float)
    values = measures(outlined, weights)["pixel_auroc"]
    for value, weight in zip(values, weights, strict=True):
        per_pixel = np.broadcast_to(weight[:, None, None], maps.shape).ravel()
        expected = roc_auc_score(truth.masks.ravel(), maps.ravel(), sample_weight=per_pixel)
        assert value == pytest.approx(expected, abs=2e-3)  # by a thousand levels


def test_aupro_is_the_mean_overlap_of_the_lesions_by_brute_force():
    rows, maps, truth = lesions(skill=1.5)
    value = measures(scored(rows, maps, truth, Params()), np.ones((1, 12)))["aupro"][0]
    regions = [
        (i, numbers == n)
        for i, mask in enumerate(truth.masks)
        for numbers, count in [label(mask)]
        for n in range(1, count + 1)
    ]
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        above = maps >= threshold
        overlap = np.mean([above[i][region].mean() for i, region in regions])
        points.append((above[truth.masks == 0].mean(), overlap))
    x, y = np.array(points).T
    grid = np.linspace(0, 0.3, 3001)
    assert value == pytest.approx(np.interp(grid, x, y).mean(), abs=3e-3)


def test_pixels_are_counted_without_all_of_them_in_memory():
    """64 maps of 256×256 are 8 MB; to sort their pixels as float32 would take four times that."""
    maps = np.random.default_rng(0).normal(size=(64, 256, 256)).astype(np.float16)
    lesion = np.zeros((256, 256), dtype=bool)
    lesion[3:9, 3:9] = True
    tracemalloc.start()
    columns = counted(maps, lambda i: lesion, np.arange(64) % 2 == 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6
    whole = np.array(columns["lesion_pixels"]) + np.array(columns["other_pixels"])
    assert whole.sum(axis=1).tolist() == [65536, 0] * 32
    above = whole.sum(axis=0).cumsum() / whole.sum()
    assert above == pytest.approx(np.arange(1, 1001) / 1000, abs=1e-3)  # levels are quantiles of all pixels


def test_maps_that_say_nothing_get_what_chance_gives():
    rows, maps, truth = lesions(skill=0.0)
    numbers = measures(scored(rows, np.ones_like(maps), truth, Params()), np.ones((1, 12)))
    assert numbers["pixel_auroc"][0] == pytest.approx(0.5)
    assert numbers["aupro"][0] == pytest.approx(0.15, abs=0.01)


def test_without_annotated_lesions_maps_are_not_judged():
    rows = judged(table())
    values = measures(rows, np.ones((2, len(rows))))
    assert np.isnan(values["pixel_auroc"]).all()
    assert np.isnan(values["aupro"]).all()


def test_masks_of_anatomy_judge_no_map():
    """Lungs, which normal images show as well, are no lesions."""
    rows, maps, truth = lesions()
    anatomy = truth.masks.copy()
    anatomy[(anatomy == 0) & (np.arange(24) < 12)] = 2
    expected = scored(rows, maps, truth, Params())
    both = scored(rows, maps, replace(truth, masks=anatomy, structures=["lesion", "lung"]), Params())
    for name in ("lesion_pixels", "other_pixels", "lesion_shares"):
        np.testing.assert_array_equal(np.stack(list(both[name])), np.stack(list(expected[name])))
    alone = scored(rows, maps, replace(truth, masks=(anatomy == 2).astype(np.uint8), structures=["lung"]), Params())
    assert "lesion_pixels" not in alone
    assert np.isnan(measures(alone, np.ones((1, 12)))["pixel_auroc"]).all()


def test_an_anomalous_image_that_nobody_annotated_does_not_count():
    rows, maps, truth = lesions()
    sick = int(np.flatnonzero(rows["label"] != "normal")[0])
    annotated = truth.annotated.copy()
    annotated[sick] = False
    masks = truth.masks.copy()
    masks[sick] = 0
    without = scored(rows, maps, replace(truth, masks=masks, annotated=annotated), Params())
    assert without["lesions"].iloc[sick] == without["other_pixels"].iloc[sick].sum() == 0


def test_a_draw_with_one_kind_alone_has_no_rate_of_the_other():
    normal = np.zeros(4, dtype=bool)
    for kind in (normal, ~normal):
        ranked = ranking(kind, np.arange(4.0), np.ones((1, 4)))
        assert np.isnan([ranked.sensitivity_at(0.9), ranked.specificity_at(0.9)]).all()


def test_youden_of_a_model_below_chance_makes_every_image_an_alarm():
    scores = np.array([0.25, 0.5, 0.75, 1.0])
    assert youden(scores, np.array([True, False, True, False])) < 0.25


def test_youden_is_where_sensitivity_and_specificity_add_up_to_most():
    rows = table(200)
    truth, score = (rows["label"] != "normal").to_numpy(), rows["score"].to_numpy()
    fpr, tpr, _ = roc_curve(truth, score)
    alarm = score > youden(score, truth)
    assert alarm[truth].mean() - alarm[~truth].mean() == pytest.approx((tpr - fpr).max())


@pytest.mark.parametrize("rule", ["youden", "normal_quantile"])
def test_the_threshold_does_not_see_the_test_images(rule):
    rows = table()
    other = rows.copy()
    test = (other["split"] == "test").to_numpy()
    other.loc[test, "score"] = np.random.default_rng(5).normal(50, 20, test.sum())
    other.loc[test, "label"] = "normal"
    thresholds = {judged(each, rule=rule, false_alarms=0.1)["threshold"].iloc[0] for each in (rows, other)}
    assert len(thresholds) == 1
    changed = rows.assign(score=np.where(test, rows["score"], rows["score"] + 9))
    assert judged(changed, rule=rule, false_alarms=0.1)["threshold"].iloc[0] not in thresholds


def test_a_further_normal_image_is_a_false_alarm_with_the_promised_probability():
    """Over many studies, each with its own validation images and one further image; the exact rate is k / (n + 1)."""
    rng = np.random.default_rng(0)
    for n, rate, exact in ((19, 0.05, 1 / 20), (40, 0.1, 4 / 41)):
        scores = rng.exponential(size=(40_000, n + 1))
        alarms = np.mean([further > normal_quantile(normal, rate) for *normal, further in scores])
        assert alarms <= rate + 0.005
        assert alarms == pytest.approx(exact, abs=4 * (exact / 40_000) ** 0.5)


def test_a_rate_that_so_few_images_cannot_promise_is_refused():
    assert normal_quantile(np.arange(19.0), 0.05) == 18
    with pytest.raises(
        UserError, match=r"0.05 needs 19 normal validation images, and there are 18. Give at least 0.05"
    ):
        normal_quantile(np.arange(18.0), 0.05)


def test_the_normal_quantile_asks_no_anomaly():
    rows = table()
    truth, score = (rows["label"] != "normal").to_numpy(), rows["score"].to_numpy()
    rule = OperatingPoint(rule="normal_quantile", false_alarms=0.1)
    assert choose(score, truth, rule) == choose(np.where(truth, 99.0, score), truth, rule)


def test_what_validation_held_is_counted():
    rows = judged(table())
    counts = judge(rows, TASK, Resampling(200, 0.95, 0)).numbers["counts"]["val"]
    part = rows[rows["split"] == "val"]
    assert list(counts) == ["normal", "virus", "bacteria"]
    assert counts["virus"]["images"] == (part["label"] == "virus").sum()
    assert counts["virus"]["patients"] == part.loc[part["label"] == "virus", "patient"].nunique()
    assert counts["normal"]["alarms"] == ((part["label"] == "normal") & (part["predicted"] == "anomalous")).sum()


@pytest.mark.parametrize(("shift", "expected"), [(-2.0, {"auroc": "interval"}), (2.0, {})])
def test_a_model_below_chance_is_flagged(shift, expected):
    assert judge(judged(table(shift=shift)), TASK, Resampling(200, 0.95, 0)).numbers["below_chance"] == expected


def test_a_value_below_chance_whose_interval_reaches_above_it_is_flagged_as_that():
    numbers = judge(judged(table(shift=-0.2, seed=2)), TASK, Resampling(200, 0.95, 0)).numbers
    assert numbers["test"]["auroc"]["high"] > 0.5 > numbers["test"]["auroc"]["value"]
    assert numbers["below_chance"] == {"auroc": "value"}


def test_a_model_that_calls_every_image_anomalous_is_marked():
    rows = judged(table())
    every = rows.assign(threshold=-99.0)
    assert TASK.one_class(every) == {"class": "anomalous", "share": 1.0}
    assert TASK.one_class(rows.assign(threshold=99.0)) == {"class": "normal", "share": 1.0}
    assert TASK.one_class(rows) is None
