"""The page: gathers what the template shows and renders one file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from ...shared.core import paths
from ..figures import curves, films, plans
from ..figures.style import Look, percent
from ..numbers import dataset
from ..numbers.comparison import Study
from ..numbers.curves import confusion
from ..read import Member
from ..text import count, duration, number, signed
from . import pictures, sentences
from .svg import plot

HERE = Path(__file__).parent / "templates"
HEADER_FILMS = 6
LABELS = {  # read out in place of the figures that the page shows as vectors
    "auroc_intervals": "Test AUROC of every model with its interval; the numbers are in the leaderboard.",
    "data_efficiency": "Test AUROC against the number of training images, one line per strategy.",
    "gains": "Difference of mean test AUROC to the baseline against the number of training images, with intervals.",
    "roc": "ROC curve of every model on the test split.",
    "precision_recall_f1": "Precision, recall and F1 of every model with intervals.",
    "plans": "Learning rate of every block in every epoch, for each backbone and strategy.",
}


def page(study: Study, drawn: Mapping[str, Figure]) -> str:
    """The report as HTML. `drawn`: the figures by name."""
    params, board, first = study.params, study.board, study.ranked[0]
    means = study.means if study.repeated else study.means.iloc[:0]
    picks = sentences.chosen(study.contrasts)
    shown = films.choose(first, max(params.samples, HEADER_FILMS), params.seed)
    uris = [pictures.array_uri(pixels) for pixels in films.pixels_of(study.data, first, shown)]
    roc = {key: curves.mean_roc(study.by_key[key]) for key in study.shown["key"]}
    shown_models = [study.by_key[key] for key in study.shown["key"]]
    look = Look(board)
    return _environment().get_template("report.html.j2").render(
        params=params,
        title=params.title or sentences.question(study.contrasts),
        verdict=sentences.verdict(picks) if params.title is None else "",
        findings=sentences.findings(picks, board, params.baseline, len(first.truth), means),
        header_films=uris[:HEADER_FILMS],
        classes=first.classes,
        test={"images": len(first.truth), "patients": int(first.test["patient"].nunique())},
        board=board.to_dict("records"),
        shown=study.shown.to_dict("records"),
        means=means.to_dict("records"),
        seeds=sentences.seeds(study.means),
        missing=study.missing,
        scale=Scale(board),
        contrasts=study.contrasts.to_dict("records"),
        figures={name: plot(drawn[name], name, label) for name, label in LABELS.items() if name in drawn},
        panel=[_reading(shown_models, i, uri) for i, uri in zip(shown[: params.samples], uris, strict=False)],
        data=study.data,
        counts=dataset.count(study.data.index, first.classes),
        cards=[_card(m, row, look, roc) for m, row in zip(shown_models, study.shown.itertuples(), strict=True)],
        carded=set(study.shown["key"]),
        made=[(str(m.key), sentences.start(m.summary), m.fingerprint) for m in study.ranked],
        look=look,
        plans_left_out=plans.left_out(board, study.by_key),
        level=percent(board),
        draws=first.metrics["bootstrap"],
        metric=study.metric,
        measure=study.measure,
        beside=study.beside,
    )  # fmt: skip


class Scale:
    """A value of the metric that decides -> x of an inline bar, 0 to 100, on a range that includes every interval."""

    def __init__(self, board: pd.DataFrame) -> None:
        low = np.nanmin(board[["value_low", "value"]].to_numpy(float), initial=1.0)
        self.low, self.high = min(np.floor(low * 10) / 10, 0.9), 1.0

    def __call__(self, value: float) -> float:
        return round(100 * (value - self.low) / (self.high - self.low), 2)


def _reading(ranked: Sequence[Member], i: int, uri: str) -> dict[str, Any]:
    """One film and what every model read in it."""
    first = ranked[0]
    readings = [
        {
            "predicted": m.classes[m.predicted[i]],
            "right": bool(m.predicted[i] == m.truth[i]),
            "confidence": float(m.probabilities[i, m.predicted[i]]),
        }
        for m in ranked
    ]
    return {
        "film": uri,
        "truth": first.classes[first.truth[i]],
        "path": first.test["path"].iloc[i],
        "readings": readings,
    }


def _card(m: Member, row: Any, look: Look, roc: Mapping[str, curves.Curve]) -> dict[str, Any]:
    folder = paths.report_dir("explain", m.key)
    counts = confusion(m)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    cases = [_case(case, folder) for case in m.cases]
    return {
        "key": str(m.key),
        "row": row,
        "kept": row.best_epoch + m.epoch_offset,
        "figure": plot(curves.card(m, roc, look), f"card-{m.key}", f"Training history and ROC curve of {m.key}."),
        "confusion": [
            (c, list(zip(counts[i].tolist(), share[i].tolist(), strict=True))) for i, c in enumerate(m.classes)
        ],
        "per_class": m.metrics["per_class"],
        "groups": [("Right", [c for c in cases if c["correct"]]), ("Wrong", [c for c in cases if not c["correct"]])],
        "fingerprint": m.fingerprint,
    }


def _case(case: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    film, heat = pictures.case_uris(folder / case["image"], folder / case["heatmap"])
    return {**case, "film": film, "heat": heat}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["inline"] = lambda name: Markup((HERE / name).read_text(encoding="utf-8"))
    environment.filters |= {"number": number, "signed": signed, "duration": duration, "count": count}
    return environment
