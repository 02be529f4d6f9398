"""The errors of the chosen model that it was surest of, beside the training images that they are most like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..numbers.comparison import Study
from ..read import Data, Member
from ..views import VIEWS
from . import features, pictures
from .subgroups import reported


def of_page(study: Study) -> dict[str, Any]:
    """What failures.j2 shows."""
    chosen = reported(study)
    section = chosen.metrics["failures"]
    cases = [shown(study, chosen, case) for case in section["cases"]]
    return {"failures": {**section, "model": chosen, "cases": cases, "about": VIEWS[study.params.task].FAILURES}}


def shown(study: Study, m: Member, case: Mapping[str, Any]) -> dict[str, Any]:
    """`answer`: of the model, in words. `seen`: a picture of it, where explain has drawn this image; else None."""
    view, path = VIEWS[study.params.task], str(case["path"])
    drawn = next((own for own in m.cases if own["path"] == path), None)
    return {
        **case,
        "image": image(path, study.data),
        "answer": view.failure(case),
        "seen": None if drawn is None else pictures.data_uri(view.seen(m, drawn)),
        "alike": features.reminders(m, path, study.data),
    }


def image(path: str, data: Data) -> str:
    return features.thumb(path, data, pictures.SIDE)["image"]
