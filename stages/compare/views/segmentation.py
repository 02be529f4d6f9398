"""Segmentation: scores of each image, outlines of truth and prediction, missed and false pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ...shared.core import paths
from ...shared.measures.segmentation import PER_CASE
from ..figures import outlines
from ..figures.style import Look
from ..numbers.comparison import Study
from ..numbers.curves import of_all
from ..page import pictures
from ..read import Member

CLASSES = "Structures"
CARD = "Training history, and the share of test images up to each Dice and distance"
COLUMNS = ("dice", "iou", "hd95", "surface_dice", "dice_original")  # of a model's table of structures
KINDS = {"best": "Best", "median": "Median", "worst": "Worst"}


def figures(study: Study) -> dict[str, Figure]:
    return {"cases": outlines.cases(study.shown, study.by_key, Look(study.shown, study.board))}


def sheet(study: Study, rows: Sequence[int], models: Mapping[str, Member]) -> Figure:
    own = {name: common(m) for name, m in models.items()}
    shown = shared_paths(list(own.values()))
    first = next(iter(models.values()))
    images = [picture(first, own[next(iter(own))][path], "image") for path in shown]
    return outlines.sheet(
        images,
        {n: [(picture(models[n], own[n][path], "overlay"), own[n][path]["dice"]) for path in shown] for n in models},
    )


def common(m: Member) -> dict[str, Mapping[str, Any]]:
    """By path: the random test images that explain drew of every model."""
    return {case["path"]: case for case in m.cases if case["kind"] == "common"}


def shared_paths(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """That all models have."""
    return [path for path in cases[0] if all(path in own for own in cases)]


def picture(m: Member, case: Mapping[str, Any], name: str) -> Any:
    return pictures.read(paths.report_dir("explain", m.key) / case[name])


def cards(study: Study) -> Callable[[str], Figure]:
    colour = Look(study.board).colour
    shown = [study.by_key[key] for key in study.shown["key"]]
    return lambda key: outlines.card(study.by_key[key], shown, study.task, colour[study.by_key[key].key.strategy])


def tables(study: Study) -> dict[str, pd.DataFrame]:
    """cases.csv: the scores of every test image, of every model."""

    def scores(m: Member) -> pd.DataFrame:
        return pd.DataFrame({"path": m.test["path"]} | {name: m.answers.image(name) for name in PER_CASE})

    return {"cases": of_all(study.ranked, scores)}


def of_page(study: Study, rows: Sequence[int]) -> dict[str, Any]:
    models = [study.by_key[key] for key in study.shown["key"]]
    own = [common(m) for m in models]
    table = []
    for path in shared_paths(own):
        cells = [
            {"dice": cases[path]["dice"], "uri": pictures.data_uri(picture(m, cases[path], "overlay"))}
            for m, cases in zip(models, own, strict=True)
        ]
        image = pictures.data_uri(picture(models[0], own[0][path], "image"))
        table.append({"path": path, "image": image, "cells": cells})
    return {"outlines": table}


def of_model(study: Study, m: Member) -> dict[str, Any]:
    kinds = []
    for kind, heading in KINDS.items():
        cases = [
            {**case, **{name: pictures.data_uri(picture(m, case, name)) for name in ("overlay", "error")}}
            for case in m.cases if case["kind"] == kind
        ]  # fmt: skip
        kinds.append((heading, cases))
    return {"kinds": kinds, "structure_columns": COLUMNS}
