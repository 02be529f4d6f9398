"""Segmentation: scores of each image, outlines of truth and prediction, missed and false pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from ...shared.measures.segmentation import PER_CASE
from ..figures import outlines
from ..figures.style import Look
from ..numbers.comparison import Study
from ..numbers.curves import of_all
from ..page import pictures
from ..read import Member
from . import shared_cases
from .shared_cases import Case, picture

CLASSES = "Structures"
CARD = "Training history, and the share of test images up to each Dice and distance"
FAILURES: Mapping[str, str] = {
    "title": "Lowest Dice",
    "sentence": "Images with the lowest Dice, the mean over their structures.",
    "seen": "Outlines of the truth (blue) and of the prediction (orange) on",
}
COLUMNS = ("dice", "iou", "hd95", "surface_dice", "dice_original")  # of a model's table of structures
KINDS = {"best": "Best", "median": "Median", "worst": "Worst"}


def figures(study: Study) -> dict[str, Figure]:
    return {"cases": outlines.cases(study.shown, study.by_key, Look(study.shown, study.board))}


def sheet(study: Study, rows: Sequence[int], models: Mapping[str, Member]) -> Figure:
    def answer(m: Member, case: Case) -> tuple[Image.Image, str]:
        return picture(m, case, "overlay"), dice(case)

    return shared_cases.sheet(models, lambda _: "", answer, "blue: truth; orange: prediction; number: Dice")


def dice(case: Case) -> str:
    return "not defined" if case["dice"] is None else f"{case['dice']:.3f}"


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
    def cell(m: Member, case: Case) -> dict[str, Any]:
        return {"dice": case["dice"], "uri": pictures.data_uri(picture(m, case, "overlay"))}

    return {"outlines": shared_cases.table([study.by_key[key] for key in study.shown["key"]], cell)}


def failure(case: Mapping[str, Any]) -> str:
    return f"Dice {case['dice']:.3f}"


def seen(m: Member, case: Case) -> Image.Image:
    return picture(m, case, "overlay")


def of_model(study: Study, m: Member) -> dict[str, Any]:
    kinds = []
    for kind, heading in KINDS.items():
        cases = [
            {**case, **{name: pictures.data_uri(picture(m, case, name)) for name in ("overlay", "error")}}
            for case in m.cases if case["kind"] == kind
        ]  # fmt: skip
        kinds.append((heading, cases))
    return {"kinds": kinds, "structure_columns": COLUMNS}
