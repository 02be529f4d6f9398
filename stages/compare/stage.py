"""compare at its edge: write reports/compare/, print the leaderboard."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ..shared.core import paths
from ..shared.core.files import atomic, write_json
from ..shared.core.job import Job, Result
from ..shared.figures.style import save
from ..shared.measures import MEASURES
from . import terminal
from .figures.draw import draw
from .numbers.board import for_file, with_missing
from .numbers.comparison import Study, analyse
from .numbers.curves import histories, rocs
from .page import render
from .params import Params


def run(params: Params, job: Job) -> Result:
    out = paths.report_dir("compare")
    study = analyse(params)
    write_tables(out, study)
    figures = draw(study)
    page = render.page(study, figures)
    pictures = [save(fig, out / "figures" / f"{name}.png") for name, fig in figures.items()]
    with atomic(out / "index.html") as partial:
        partial.write_text(page, encoding="utf-8")
    if not os.environ.get("LIGHTBOX_DEFER_SUMMARY"):
        terminal.show(out)
    return Result(metrics=best_metrics(study), figures=(*pictures, out / "index.html"))


def write_tables(out: Path, study: Study) -> None:
    first = study.ranked[0].test
    for name, table in {
        "leaderboard": for_file(with_missing(study.board, study.missing), study.metric),
        "repeats": for_file(study.means, study.metric).rename(columns={"sample": "size"}),
        "contrasts": for_file(study.contrasts, study.metric),
        "histories": histories(study.ranked),
        "roc": rocs(study.ranked),
        "confusion": pd.DataFrame({"truth": first["label"].astype(str), "predicted": first["predicted"].astype(str)}),
    }.items():
        with atomic(out / f"{name}.csv") as partial:
            table.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")
    write_json(out / "metrics.json", {row["key"]: metrics(row, study) for row in study.board.to_dict("records")})


def metrics(row: Mapping[str, float], study: Study) -> dict[str, float]:
    """The test metrics that a model has, to six digits."""
    names = MEASURES[study.params.task].metrics
    return {name: float(f"{row[name]:.6g}") for name in names if pd.notna(row[name])}


def best_metrics(study: Study) -> dict[str, float]:
    """The first model's test metrics and how many share its place, for the tracking store."""
    board = study.board
    first = {f"best.{name}": value for name, value in metrics(board.iloc[0].to_dict(), study).items()}
    return first | {
        "models": float(len(board)),
        "missing": float(len(study.missing)),
        "ties": float(board.tie.iloc[1:].sum()),
    }
