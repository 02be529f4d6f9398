"""Anomaly detection: the scores of both classes, the maps, and what a threshold promised and what it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from ..figures import anomalies, curves
from ..figures.style import Look
from ..numbers.comparison import Study
from ..numbers.curves import of_all, prevalence, table
from ..page import pictures
from ..read import Member
from . import shared_cases
from .shared_cases import Case, picture

CLASSES = "Classes"
CARD = "Scores of the test images, ROC curve, and training history where there is one"
FAILURES: Mapping[str, str] = {
    "title": "Most confident errors",
    "sentence": "Misses and false alarms with the scores that are farthest from the threshold.",
    "seen": "Map of the anomaly on",
}
NEXT = 1000  # normal images, of the card


def figures(study: Study) -> dict[str, Figure]:
    shown = study.shown
    look, share = Look(shown, study.models), prevalence(study.ranked[0])
    drawn = {"scores": anomalies.histograms(shown, study.by_key, look)}
    for name, curve in study.task.curves.items():
        label = study.task.metrics[curve.metric].label
        drawn[name] = curves.by_backbone(shown, study.mean_lines[name], curve, label, share, look)
    return drawn


def sheet(study: Study, rows: Sequence[int], models: Mapping[str, Member]) -> Figure:
    def answer(m: Member, case: Case) -> tuple[Image.Image, str]:
        return seen(m, case), verdict(case)

    note = "maps of the anomaly; number: score of the image"
    return shared_cases.sheet(models, lambda case: str(case["label"]), answer, note)


def verdict(case: Case) -> str:
    right = case["alarm"] == case["anomalous"]
    return f"{'✓' if right else '✗'} {score(case['score'])}{', alarm' if case['alarm'] else ''}"


def score(value: float) -> str:
    """Scores of different methods are of different sizes."""
    return f"{value:.3g}"


def cards(study: Study) -> Callable[[str], Figure]:
    colour, share = Look(study.models).colour, prevalence(study.ranked[0])

    def card(key: str) -> Figure:
        m = study.by_key[key]
        return anomalies.card(m, study.task, study.mean_lines, share, colour[m.key.strategy])

    return card


def tables(study: Study) -> dict[str, pd.DataFrame]:
    """scores.csv: the score of every test image, of every model."""
    first = study.ranked[0]
    kinds = {False: first.answers.classes[0], True: "anomalous"}

    def scores(m: Member) -> pd.DataFrame:
        return m.test[["path", "label", "score", "threshold"]]

    return {
        "roc": of_all(study.ranked, partial(table, curve=study.task.curves["roc"])),
        "confusion": pd.DataFrame(
            {
                "truth": [kinds[bool(own)] for own in first.answers.anomalous],
                "predicted": [kinds[bool(own)] for own in first.answers.alarm],
            }
        ),
        "scores": of_all(study.ranked, scores),
    }


def of_page(study: Study, rows: Sequence[int]) -> dict[str, Any]:
    """maps: of each image the cells of all models. below: (model, metric, value, low, high, chance, whole interval)."""

    def cell(m: Member, case: Case) -> dict[str, Any]:
        return {
            "uri": pictures.data_uri(seen(m, case)),
            "score": score(case["score"]),
            "alarm": case["alarm"],
            "right": case["alarm"] == case["anomalous"],
        }

    maps = shared_cases.table([study.by_key[key] for key in study.shown["key"]], cell)
    return {"maps": maps, "below": [row for m in study.ranked for row in below_chance(study, m)]}


def below_chance(study: Study, m: Member) -> list[dict[str, Any]]:
    """The metrics of a model that are lower than those of a guess; `whole`: the interval is too."""
    return [
        {
            "key": str(m.key), "label": study.task.metrics[name].label, "whole": reach == "interval",
            "chance": study.task.metrics[name].chance, **m.metrics["test"][name],
        }
        for name, reach in m.metrics["below_chance"].items()
    ]  # fmt: skip


def failure(case: Mapping[str, Any]) -> str:
    kind = "false alarm" if case["alarm"] else "missed"
    return f"✗ {kind}, score {score(case['score'])}, threshold {score(case['score'] - case['above_threshold'])}"


def seen(m: Member, case: Case) -> Image.Image:
    return pictures.overlay(picture(m, case, "image"), picture(m, case, "heatmap"))


def of_model(study: Study, m: Member) -> dict[str, Any]:
    kinds: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for case in m.cases:
        if case["kind"] != "common":
            kinds[case["anomalous"]].append(shown_case(m, case))
    return {"kinds": kinds, "threshold": threshold(m), "below": below_chance(study, m)}


def shown_case(m: Member, case: Case) -> dict[str, Any]:
    """drawn: the reconstruction, of a model that has one."""
    return {
        **case,
        "score": score(case["score"]),
        "right": case["alarm"] == case["anomalous"],
        "image": pictures.data_uri(picture(m, case, "image")),
        "heat": pictures.data_uri(seen(m, case)),
        "drawn": pictures.data_uri(picture(m, case, "reconstruction")) if "reconstruction" in case else "",
    }


def threshold(m: Member) -> dict[str, Any]:
    """The card: how the threshold was chosen, what it saw, and what it did on the test images.

    validation, test: (class, images, patients, alarms), the normal class first. expected: false alarms among NEXT
    normal images, with low and high. more: the interval lies above what normal_quantile promised."""
    rule, counts, rates = m.metrics["operating_point"]["settings"], m.metrics["counts"], m.metrics["test"]
    specificity = rates["specificity"]
    ends = {"value": "value", "low": "high", "high": "low"}
    expected = {
        end: None if specificity[other] is None else NEXT * (1 - specificity[other]) for end, other in ends.items()
    }
    promised = NEXT * rule["false_alarms"] if rule["rule"] == "normal_quantile" else None
    return {
        **rule,
        "value": f"{m.test['threshold'].iloc[0]:.4g}",
        "next": NEXT,
        "expected": expected,
        "promised": promised,
        "more": promised is not None and expected["low"] is not None and expected["low"] > promised,
        **{
            name: [{"name": k, **own} for k, own in counts[split].items()]
            for name, split in (("validation", "val"), ("test", "test"))
        },
    }
