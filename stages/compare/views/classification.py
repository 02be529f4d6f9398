"""Classification: threshold curves, confusion matrices, heat maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from ...shared.core import paths
from ..figures import board, curves, examples, reliability
from ..figures.style import Look
from ..numbers.comparison import Study
from ..numbers.curves import confusion, of_all, prevalence, table
from ..page import features, pictures, uncertainty
from ..read import Member

CLASSES = "Classes"
CARD = "Training history, ROC and precision–recall curve"
FAILURES: Mapping[str, str] = {
    "title": "Most confident errors",
    "sentence": "Wrong predictions with the highest probability of the predicted class.",
    "seen": "Heat map for the predicted class of",
}


def figures(study: Study) -> dict[str, Figure]:
    shown, by_key = study.shown, study.by_key
    look, share = Look(shown, study.models), prevalence(study.ranked[0])
    drawn = {
        "precision_recall_f1": board.precision_recall_f1(shown, by_key, look),
        "confusion": board.confusions(shown, by_key, look),
    }
    for name, curve in study.task.curves.items():
        label = study.task.metrics[curve.metric].label
        drawn[name] = curves.by_backbone(shown, study.mean_lines[name], curve, label, share, look)
    drawn["reliability"] = reliability.diagrams(shown, by_key, look)
    drawn["risk_coverage"] = reliability.risk_coverage(shown, by_key, look)
    if len(study.ranked[0].answers.positives) == 1:
        drawn["decision_curves"] = reliability.decision_curves(shown, by_key, study.ranked[0].answers.classes[1], look)
    return drawn


def sheet(study: Study, rows: Sequence[int], models: Mapping[str, Member]) -> Figure:
    return examples.sheet(examples.pixels_of(study.data, study.ranked[0], rows), rows, models)


def cards(study: Study) -> Callable[[str], Figure]:
    look, share = Look(study.models), prevalence(study.ranked[0])

    def card(key: str) -> Figure:
        return curves.card(study.by_key[key], study.task, study.mean_lines, share, look.colour)

    return card


def tables(study: Study) -> dict[str, pd.DataFrame]:
    first = study.ranked[0].test
    return {
        "roc": of_all(study.ranked, partial(table, curve=study.task.curves["roc"])),
        "confusion": pd.DataFrame({"truth": first["label"].astype(str), "predicted": first["predicted"].astype(str)}),
    }


def of_page(study: Study, rows: Sequence[int]) -> dict[str, Any]:
    return uncertainty.of_page(study)


def failure(case: Mapping[str, Any]) -> str:
    return f"✗ predicted {case['predicted']}, {case['confidence']:.2f}"


def seen(m: Member, case: Mapping[str, Any]) -> Image.Image:
    folder = paths.report_dir("explain", m.key)
    return pictures.overlay(pictures.read(folder / case["image"]), pictures.read(folder / case["heatmap"]))


def of_model(study: Study, m: Member) -> dict[str, Any]:
    folder = paths.report_dir("explain", m.key)
    cases = []
    for case in m.cases:
        image, heat = pictures.read(folder / case["image"]), seen(m, case)
        alike = [] if case["correct"] else features.reminders(m, case["path"], study.data)
        cases.append({**case, "image": pictures.data_uri(image), "heat": pictures.data_uri(heat), "alike": alike})
    return {"confusion": confusion(m).tolist(), "cases": cases}
