"""The report of a made-up anomaly study: one model that learned, one memory, one that ranks the wrong way round."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from stages import compare
from stages.compare.views import anomaly
from stages.evaluate import Params as Evaluation
from stages.explain.checks.examine import nothing
from stages.shared.core.job import Job
from stages.shared.core.paths import Key
from stages.shared.measures import MEASURES
from stages.shared.measures.measure import Truth

from .conftest import (
    SETTINGS,
    heat,
    write_data,
    write_features,
    write_json,
    write_shortcuts,
    write_training,
    write_validation,
)
from .evaluations import write_evaluation
from .test_report import Page

CLASSES = ["normal", "bacterial", "viral"]
SKILL = {"from_scratch": 1.2, "knn": 2.0, "padim": -1.5}  # how far the scores of both kinds lie apart
MATRIX = {"backbone": ["small_cnn"], "strategy": list(SKILL), "sample": ["full"]}


def write_model(root: Path, key: Key, index: pd.DataFrame, rule: str) -> None:
    skill, rng = SKILL[key.strategy], np.random.default_rng(len(key.strategy))
    rows = index[index.split != "train"]
    table = rows[["path", "label", "patient", "group", "split"]].reset_index(drop=True)
    table["score"] = np.exp(skill * (table["label"] != "normal") + rng.normal(size=len(table)))
    options = Evaluation(operating_point={"rule": rule, "false_alarms": 0.1})
    truth = Truth(np.zeros((len(table), 8, 8)), [], lambda row: None, lambda own, size: own)
    table = MEASURES["anomaly"].scored(table, np.zeros((len(table), 8, 8)), truth, options)
    write_evaluation(root / "reports/evaluate" / str(key), table, task="anomaly", settings=options.model_dump())
    write_training(root, replace(key, strategy="from_scratch"), index, 1.0, rng, SETTINGS["full"])
    if key.strategy != "from_scratch":
        source, folder = root / "reports/train/small_cnn-from_scratch-full", root / "reports/train" / str(key)
        folder.mkdir(parents=True)
        for name in ("plan.csv", "summary.json"):
            (folder / name).write_text((source / name).read_text())
        history = pd.read_csv(source / "history.csv").head(1).assign(train_loss=np.nan)
        history.to_csv(folder / "history.csv", index=False)
    write_cases(root, key, table[table.split == "test"], rng)
    write_features(root, str(key), index, table.assign(predicted=None), len(key.strategy))


def write_cases(root: Path, key: Key, test: pd.DataFrame, rng: np.random.Generator) -> None:
    folder, cases = root / "reports/explain" / str(key), []
    chosen = [("highest", 0), ("median", 3), ("lowest", 6), ("common", 9), ("common", 12)]
    for number, (kind, place) in enumerate(chosen):
        row = test.iloc[place]
        case = {
            "path": row.path, "patient": row.patient, "label": str(row.label), "anomalous": row.label != "normal",
            "kind": kind, "score": row.score, "threshold": row.threshold, "alarm": bool(row.score > row.threshold),
        }  # fmt: skip
        names = ("image", "heatmap", "reconstruction") if key.strategy == "from_scratch" else ("image", "heatmap")
        for name in names:
            case[name] = f"{name}s/{number:02d}.png"
            (folder / case[name]).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(heat(rng, np.zeros((32, 32)))).save(folder / case[name])
        cases.append(case)
    write_json(folder / "cases.json", cases)
    write_json(folder / "methods.json", nothing().numbers)


@pytest.fixture(scope="module", params=["youden", "normal_quantile"])
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp(request.param), np.random.default_rng(7)
    index = write_data(root, CLASSES, 160, 32, rng)
    write_validation(root, index, CLASSES)
    write_shortcuts(root, CLASSES)
    write_json(root / "reports/floor/floor.json", {"floors": []})
    for strategy in SKILL:
        write_model(root, Key("small_cnn", strategy, "full"), index, request.param)
    with contextlib.chdir(root):
        compare.run(compare.Params.model_validate({"task": "anomaly", "matrix": MATRIX, "documents": False}), Job())
    return root


def predictions(study: Path, strategy: str) -> pd.DataFrame:
    table = pd.read_parquet(study / f"reports/evaluate/small_cnn-{strategy}-full/predictions.parquet")
    return table[table.split == "test"]


def page(study: Path) -> Page:
    return Page((study / "reports/compare/index.html").read_text(encoding="utf-8"))


def test_the_page_is_whole(study: Path) -> None:
    shown = page(study)
    assert shown.open == []
    assert len(shown.ids) == len(set(shown.ids))
    assert all(value.startswith(("#", "data:")) for _, _, value in shown.links)
    assert all("alt" in image for image in shown.images)
    assert "reconstruction" in shown.text


def test_the_roc_curve_is_that_of_the_scores(study: Path) -> None:
    table = predictions(study, "knn")
    sick = table.label != "normal"
    roc = pd.read_csv(study / "reports/compare/tables/roc.csv").query("strategy == 'knn'")
    assert set(roc["class"]) == {"anomalous"}
    assert np.trapezoid(roc.tpr, roc.fpr) == pytest.approx(roc_auc_score(sick, table.score), abs=1e-4)


def test_the_card_counts_alarms(study: Path) -> None:
    table = predictions(study, "knn")
    threshold = float(table.threshold.iloc[0])
    normal = table[table.label == "normal"]
    alarms = int((normal.score > threshold).sum())
    text = re.sub(r"\s+", " ", page(study).text)
    assert f"{len(normal)} images “normal” of {normal.patient.nunique()} patients, {alarms} of them above" in text
    assert f"About {1000 * alarms / len(normal):,.0f} false alarms" in text


def test_the_card_promises_what_its_rule_does(study: Path) -> None:
    text = re.sub(r"\s+", " ", page(study).text)
    conformal = "normal_quantile" in study.name
    assert ("probability of at most 10%," in text) == conformal
    assert ("The rule promises at most 100 on average" in text) == conformal
    assert ("None. The threshold suits these validation images" in text) != conformal


def test_a_model_below_chance_is_named_and_no_other(study: Path) -> None:
    text = re.sub(r"\s+", " ", page(study).text)
    assert re.findall(r"Below chance\. (\S+) has a test AUROC", text) == ["small_cnn-padim-full"]
    assert "and the whole interval lies below it" in text


def test_a_memory_has_no_history(study: Path) -> None:
    assert (study / "reports/compare/figures/histories.png").exists()
    scores = pd.read_csv(study / "reports/compare/tables/scores.csv")
    assert set(scores.model) == {f"small_cnn-{strategy}-full" for strategy in SKILL}
    assert len(scores) == 3 * len(predictions(study, "knn"))


@pytest.mark.parametrize(("low", "more"), [(0.80, True), (0.97, False)])
def test_more_false_alarms_than_promised_are_said_where_the_interval_shows_it(low: float, more: bool) -> None:
    class Stub:
        test = pd.DataFrame({"threshold": [1.0]})
        metrics = {
            "operating_point": {"settings": {"rule": "normal_quantile", "false_alarms": 0.05}},
            "counts": {"val": {}, "test": {}},
            "test": {"specificity": {"value": 0.85, "low": 0.7, "high": low + 0.05}},
        }

    card = anomaly.threshold(Stub())
    assert card["expected"] == pytest.approx({"value": 150, "low": 1000 * (0.95 - low), "high": 300})
    assert card["more"] == more
    assert json.dumps(card)
