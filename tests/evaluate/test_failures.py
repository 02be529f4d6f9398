"""The list of worst predictions, with errors planted among right ones."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages.evaluate import Params
from stages.evaluate.evidence import SECTIONS
from stages.evaluate.evidence.evidence import Evidence
from stages.shared.measures.judge import Resampling


def section(task: str, table: pd.DataFrame, **params: Any) -> dict[str, Any]:
    how = Resampling(200, 0.95, seed=0)
    own = Evidence(Params.model_validate(params), table, how, None, None, None, np.arange(len(table)))  # type: ignore[arg-type]
    numbers = dict(SECTIONS[task]["failures"](own))
    json.dumps(numbers, allow_nan=False)
    return numbers


def paths(numbers: dict[str, Any]) -> list[str]:
    return [case["path"] for case in numbers["cases"]]


@pytest.fixture
def classified() -> pd.DataFrame:
    """Threshold 0.3. Errors of the test split: t1 (0.95 for ill), t3 (0.99 for well), t4 (0.4 for ill)."""
    rows = [
        ("v0", "val", "well", 0.999), ("t0", "test", "ill", 0.97), ("t1", "test", "well", 0.95),
        ("t2", "test", "well", 0.02), ("t3", "test", "ill", 0.01), ("t4", "test", "well", 0.4), ("t5", "test", "ill", 0.4),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["path", "split", "label", "prob_ill"])
    table.insert(3, "prob_well", 1 - table["prob_ill"])
    return table.assign(predicted=np.where(table["prob_ill"] > 0.3, "ill", "well"), threshold=0.3)


def test_errors_at_the_operating_point_come_surest_first(classified):
    numbers = section("classification", classified)
    assert (numbers["images"], numbers["errors"]) == (6, 3)
    assert paths(numbers) == ["t3", "t1", "t4"]
    assert [case["predicted"] for case in numbers["cases"]] == ["well", "ill", "ill"]
    assert [case["confidence"] for case in numbers["cases"]] == pytest.approx([0.99, 0.95, 0.4])


@pytest.mark.parametrize("most", [0, 1, 2])
def test_no_more_are_listed_than_asked_for(classified, most):
    numbers = section("classification", classified, failures=most)
    assert paths(numbers) == ["t3", "t1", "t4"][:most]
    assert numbers["errors"] == 3


def test_a_model_without_errors_lists_none(classified):
    right = classified.assign(label=classified["predicted"])
    assert section("classification", right) == {"images": 6, "errors": 0, "cases": []}


def test_masks_come_by_the_mean_dice_and_images_without_one_are_left_out():
    table = pd.DataFrame({"path": ["a", "b", "c", "d"], "split": "test", "label": "x"})
    for name, dice in {"lung": [0.9, 0.2, 0.5, np.nan], "heart": [0.1, 0.9, np.nan, np.nan]}.items():
        table[[f"tp:{name}", f"dice:{name}"]] = np.stack([np.ones(4), dice], axis=1)
    numbers = section("segmentation", table)
    assert [(case["path"], case["dice"]) for case in numbers["cases"]] == [
        ("a", pytest.approx(0.5)), ("c", pytest.approx(0.5)), ("b", pytest.approx(0.55)),
    ]  # fmt: skip
    assert (numbers["images"], numbers["errors"]) == (3, None)


def test_misses_and_false_alarms_come_by_their_distance_to_the_threshold():
    table = pd.DataFrame(
        {"path": ["a", "b", "c", "d"], "split": "test", "score": [9.0, 2.0, 7.0, 30.0], "threshold": 5.0}
    )
    table["label"] = pd.Categorical(["normal", "ill", "normal", "ill"], categories=["normal", "ill"])
    numbers = section("anomaly", table)
    assert [(case["path"], case["alarm"], case["above_threshold"]) for case in numbers["cases"]] == [
        ("a", True, 4.0), ("b", False, -3.0), ("c", True, 2.0),
    ]  # fmt: skip
    assert numbers["errors"] == 3
