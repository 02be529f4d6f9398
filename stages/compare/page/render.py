"""The page: gathers what the templates show and renders one file that needs no network."""

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
from ...shared.measures import MEASURES
from .. import text
from ..figures import films, plans
from ..figures.draw import cards
from ..figures.style import Look
from ..numbers import dataset
from ..numbers.comparison import Study, beside
from ..numbers.curves import confusion
from ..read import Member
from . import pictures, sentences
from .svg import plot

HERE = Path(__file__).parent / "templates"
HEADER_FILMS = 6
COLUMNS = 5  # metrics on the leaderboard beside the one that decides; each model's card has the others


def page(study: Study, figures: Mapping[str, Figure]) -> str:
    """The report as HTML. `figures`: by name."""
    params, board, first, look = study.params, study.board, study.ranked[0], Look(study.board)
    means = study.means if study.repeated else study.means.iloc[:0]
    picks = sentences.chosen(study.contrasts, study.measure)
    rows = films.choose(first, max(params.samples, HEADER_FILMS), params.seed)
    uris = [pictures.array_uri(pixels) for pixels in films.pixels_of(study.data, first, rows)]
    models, names = [study.by_key[key] for key in study.shown["key"]], labels(study.measure.label)
    histories = cards(study)
    metrics = MEASURES[params.task].metrics
    others = sorted((name for name in metrics if name != study.metric), key=lambda name: not metrics[name].headline)
    return _environment().get_template("report.html.j2").render(
        params=params,
        title=params.title or sentences.question(study.contrasts),
        verdict=sentences.verdict(picks) if params.title is None else "",
        findings=sentences.findings(picks, board, params.baseline, len(first.truth), means, study.measure),
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
        figures={name: plot(figures[name], name, names[name]) for name in names if name in figures},
        panel=[_readings(models, row, uri) for row, uri in zip(rows[: params.samples], uris, strict=False)],
        data=study.data,
        counts=dataset.count(study.data.index, first.classes),
        cards=[_card(study.by_key[row["key"]], row, histories[row["key"]]) for row in study.shown.to_dict("records")],
        carded=set(study.shown["key"]),
        sources=[(str(m.key), sentences.start(m.summary), m.fingerprint) for m in study.ranked],
        look=look,
        plans_left_out=plans.left_out(board, study.by_key),
        level=text.level(board.confidence[0]),
        draws=first.metrics["bootstrap"],
        metric=study.metric,
        measure=study.measure,
        beside=beside(params),
        metrics=metrics,
        columns=others[:COLUMNS],
        rest=others[COLUMNS:],
    )  # fmt: skip


def labels(metric: str) -> dict[str, str]:
    """What is read out in place of the figures that the page shows as vectors."""
    return {
        "intervals": f"Test {metric} of every model with its interval; the numbers are in the leaderboard.",
        "data_efficiency": f"Test {metric} against the number of training images, one line per strategy.",
        "gains": f"Difference in mean test {metric} to the baseline, with intervals, by number of training images.",
        "roc": "ROC curve of every model on the test split.",
        "precision_recall": "Precision–recall curve of every model on the test split.",
        "precision_recall_f1": "Precision, recall and F1 of every model with intervals.",
        "plans": "Learning rate of every block in every epoch, for each backbone and strategy.",
    }


class Scale:
    """A value to the x of an inline bar, 0 to 100, on a range that includes every interval of the table."""

    def __init__(self, board: pd.DataFrame) -> None:
        low = np.nanmin(board[["value_low", "value"]].to_numpy(float), initial=1.0)
        self.low = min(float(np.floor(low * 10)) / 10, 0.9)

    def __call__(self, value: float) -> float:
        return round(100 * (value - self.low) / (1 - self.low), 2)


def _readings(models: Sequence[Member], row: int, uri: str) -> dict[str, Any]:
    """One film and what every model predicted for it."""
    first = models[0]
    return {
        "film": uri,
        "truth": first.classes[first.truth[row]],
        "path": first.test["path"].iloc[row],
        "readings": [
            {
                "predicted": m.classes[m.predicted[row]],
                "right": bool(m.predicted[row] == m.truth[row]),
                "confidence": float(m.probabilities[row, m.predicted[row]]),
            }
            for m in models
        ],
    }


def _card(m: Member, row: Mapping[str, Any], figure: Figure) -> dict[str, Any]:
    folder, counts = paths.report_dir("explain", m.key), confusion(m)
    cases = []
    for case in m.cases:
        film, heat = pictures.case_uris(folder / case["image"], folder / case["heatmap"])
        cases.append({**case, "film": film, "heat": heat})
    return {
        "key": str(m.key),
        "row": row,
        "kept": row["best_epoch"] + m.epoch_offset,
        "figure": plot(figure, f"card-{m.key}", f"Training history, ROC and precision–recall curve of {m.key}."),
        "confusion": list(zip(m.classes, counts.tolist(), strict=True)),
        "per_class": m.metrics["per_class"],
        "groups": [("Right", [c for c in cases if c["correct"]]), ("Wrong", [c for c in cases if not c["correct"]])],
    }


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["inline"] = lambda name: Markup((HERE / name).read_text(encoding="utf-8"))
    environment.filters |= {name: getattr(text, name) for name in ("number", "signed", "duration", "count")}
    environment.filters["sentence"] = lambda label: label[:1].upper() + label[1:]
    return environment
