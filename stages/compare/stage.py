"""compare at its edge: write reports/compare/, print the leaderboard."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from ..shared.core import paths
from ..shared.core.files import atomic, write_json
from ..shared.core.job import Job, Result
from ..shared.figures.style import save
from . import terminal
from .figures.draw import draw
from .numbers.board import METRICS, histories, rocs, with_missing
from .numbers.comparison import Study, analyse
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
        "leaderboard": with_missing(study.board, study.missing),
        "repeats": study.means.rename(columns={"sample": "size"}),
        "contrasts": study.contrasts,
        "histories": histories(study.ranked),
        "roc": rocs(study.ranked),
        "confusion": pd.DataFrame({"truth": first["label"].astype(str), "predicted": first["predicted"].astype(str)}),
    }.items():
        with atomic(out / f"{name}.csv") as partial:
            table.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")
    write_json(out / "metrics.json", {row["key"]: metrics(row) for row in study.board.to_dict("records")})


def metrics(row: dict[str, float]) -> dict[str, float]:
    """The test metrics that a model has, to six digits."""
    return {name: float(f"{row[name]:.6g}") for name in METRICS if pd.notna(row[name])}


def best_metrics(study: Study) -> dict[str, float]:
    """The first model's test metrics and how many share its place, for the tracking store."""
    board = study.board
    first = {f"best.{name}": value for name, value in metrics(board.iloc[0].to_dict()).items()}
    return first | {
        "models": float(len(board)),
        "missing": float(len(study.missing)),
        "ties": float(board.tie.iloc[1:].sum()),
    }
