"""What differs between classes and between the parts of a provided split, as effect sizes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stages.validate.drift import LARGEST, differences, effect, standard_error


def rows(shift=0.0, rgb=0.0, images=400):
    rng = np.random.default_rng(0)
    label = np.repeat(["normal", "pneumonia"], images // 2)
    second = label == "pneumonia"
    return pd.DataFrame(
        {
            "label": label, "patient": np.arange(images) // 2, "brightness": rng.normal(100, 10, images) + 10 * shift * second,
            "mode": np.where(rng.random(images) < rgb * second, "RGB", "L"),
        }
    )  # fmt: skip


def test_the_effect_is_that_of_the_formula():
    one, other = pd.Series([1.0, 2.0, 3.0]), pd.Series([2.0, 4.0, 6.0])
    assert effect(one, other) == pytest.approx(2 / np.sqrt((1 + 4) / 2))
    assert effect(one * 0 + 3, one * 0 + 3) == 0
    assert effect(one * 0 + 3, one * 0 + 4) == LARGEST


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_a_planted_shift_is_measured(shift):
    table = differences(rows(shift), rows()["label"], ["brightness"])
    assert table["effect"].item() == pytest.approx(shift, abs=0.15)
    assert table["path"].item().startswith("brightness: normal 1")


def test_a_mode_that_one_class_has_is_named_with_both_shares():
    table = rows(rgb=0.6)
    shares = table.groupby("label")["mode"].apply(lambda mode: (mode == "RGB").mean())
    (row,) = differences(table, table["label"], ["mode"]).itertuples()
    p, q = shares["normal"], shares["pneumonia"]
    n = 200 / 199  # pandas' variance is that of a sample
    assert row.effect == pytest.approx(abs(p - q) / np.sqrt((p * (1 - p) + q * (1 - q)) * n / 2), rel=1e-6)
    assert "normal" in row.path
    assert "pneumonia" in row.path


def test_chance_alone_gives_no_difference_that_is_sure_and_a_large_one_is():
    """100 sets of 80 patients without any difference, 6 columns each."""
    rng, sure = np.random.default_rng(1), 0
    for _ in range(100):
        table = pd.DataFrame(rng.normal(size=(80, 6)), columns=list("abcdef")).assign(patient=np.arange(80))
        sure += (differences(table, pd.Series(np.arange(80) % 2), list("abcdef"))["low"] > 0).any()
    assert sure <= 6
    table = rows(1.5)
    assert differences(table, table["label"], ["brightness"])["low"].item() > 0.9


def test_the_standard_error_is_the_spread_of_the_effect():
    rng = np.random.default_rng(2)
    effects = [rng.normal(0, 1, 40).mean() - rng.normal(0, 1, 60).mean() for _ in range(2000)]
    assert np.std(effects) == pytest.approx(standard_error(0.0, 40, 60), rel=0.05)


def test_a_group_of_a_few_images_is_not_compared():
    table = rows(3.0)
    few = table["label"].where(table["label"] == "normal", None)
    few.iloc[-4:] = "pneumonia"
    assert differences(table, few, ["brightness"]).empty


def test_a_rare_class_that_differs_more_does_not_hide_two_large_ones_that_surely_differ():
    rng = np.random.default_rng(3)
    sizes, means = (400, 400, 6), (100, 110, 114)
    brightness = np.concatenate([rng.normal(mean, 10, size) for mean, size in zip(means, sizes, strict=True)])
    table = pd.DataFrame({"brightness": brightness, "patient": np.arange(806)})
    label = pd.Series(np.repeat(["normal", "pneumonia", "rare"], sizes))
    (row,) = differences(table, label, ["brightness"]).itertuples()
    assert row.path.startswith("brightness: normal")
    assert "pneumonia" in row.path
    assert row.low > 0.5
