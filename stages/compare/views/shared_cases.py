"""The random test images that explain drew of every model: of some tasks an answer is a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from ...shared.core import paths
from ..figures import examples
from ..page import pictures
from ..read import Member

Case = Mapping[str, Any]
"""An entry of cases.json."""


def common(m: Member) -> dict[str, Case]:
    """By path."""
    return {case["path"]: case for case in m.cases if case["kind"] == "common"}


def shared_paths(cases: Sequence[Mapping[str, Case]]) -> list[str]:
    """That all models have."""
    return [path for path in cases[0] if all(path in own for own in cases)]


def picture(m: Member, case: Case, name: str) -> Image.Image:
    return pictures.read(paths.report_dir("explain", m.key) / case[name])


def sheet(
    models: Mapping[str, Member],
    title: Callable[[Case], str],
    answer: Callable[[Member, Case], tuple[Image.Image, str]],
    note: str,
) -> Figure:
    """These images, and what each of `models`, by label, made of them. `title`: of an image. `answer`: a picture, and
    the text above it."""
    own = {name: common(m) for name, m in models.items()}
    shown, first = shared_paths(list(own.values())), next(iter(models))
    images = [picture(models[first], own[first][path], "image") for path in shown]
    titles = [title(own[first][path]) for path in shown]
    answers = {name: [answer(m, own[name][path]) for path in shown] for name, m in models.items()}
    return examples.pictures(images, titles, answers, note)


def table(models: Sequence[Member], cell: Callable[[Member, Case], dict[str, Any]]) -> list[dict[str, Any]]:
    """For the page: of each image its path, its label, itself, and the `cells` of all models."""
    own = [common(m) for m in models]
    return [
        {
            "path": path,
            "label": own[0][path]["label"],
            "image": pictures.data_uri(picture(models[0], own[0][path], "image")),
            "cells": [cell(m, cases[path]) for m, cases in zip(models, own, strict=True)],
        }
        for path in shared_paths(own)
    ]
