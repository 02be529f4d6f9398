"""The leaderboard in the terminal, read from the files on disk: it can be shown again without computing anything."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..shared.core.errors import UserError
from ..shared.core.paths import report_dir
from . import text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ..shared.measures.measure import Measure

MLFLOW_UI = "make ui"
MLFLOW_UI_PLAIN = "mlflow ui --backend-store-uri sqlite:///mlflow.db"
WIDTH = 100  # of a log file
ROWS = 30  # models in the terminal; leaderboard.csv has all


def show(folder: Path | None = None, console: Console | None = None) -> None:
    """Print the leaderboard, where the report lies and how to open MLflow.

    Raises:
        UserError: nothing has been compared yet.
    """
    from rich.console import Console

    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    for part in summary(folder or report_dir("compare")):
        console.print(part)


def summary(folder: Path) -> list[RenderableType]:
    """The parts, for any rich console; the table fits 100 columns."""
    from rich.text import Text

    path = folder / "leaderboard.csv"
    if not path.is_file():
        raise UserError(f"{path}: no leaderboard yet. Make it with `make run` (or `dvc repro`).")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    metric, level = rows[0]["metric"], text.level(float(rows[0]["confidence"]))
    complete, missing = [row for row in rows if not is_missing(row)], [row for row in rows if is_missing(row)]
    label = measures_in(rows[0])[metric].label
    lines = []
    if any(row["tie"] == "True" for row in complete[1:]):
        lines += [f"= : the {level} interval of its difference in {label} to the first row includes zero, a tie"]
    if missing:
        lines += [f"missing: {len(missing)} of {len(rows)} models are incomplete; the others are compared without them"]
    if len(complete) > ROWS:
        lines += [f"{len(complete) - ROWS} more models are in {path}"]
    lines += ["", f"Report     {folder / 'index.html'}", f"All runs   {MLFLOW_UI}   (or: {MLFLOW_UI_PLAIN})"]
    return [_table(complete[:ROWS] + missing, metric, level), Text("\n".join(lines))]


def measures_in(row: Mapping[str, str]) -> dict[str, Measure]:
    """The metrics that a leaderboard has columns of."""
    from ..shared.measures import MEASURES

    return {name: measure for task in MEASURES.values() for name, measure in task.metrics.items() if name in row}


def _table(rows: list[dict[str, str]], metric: str, level: str) -> RenderableType:
    """The metric that decides comes first, with its interval, then the others of the headline."""
    from rich import box
    from rich.table import Table

    backbones, measures = sorted({row["backbone"] for row in rows}), measures_in(rows[0])
    names = ["backbone"] * (len(backbones) > 1) + ["strategy", "sample"]
    others = [name for name, measure in measures.items() if measure.headline and name != metric]
    title = f"Leaderboard on the test split, [{level} interval]"
    table = Table(
        box=box.SIMPLE_HEAD, padding=0, show_edge=False, title_justify="left",
        title=title if len(backbones) > 1 else f"{title}: {backbones[0]}",
    )  # fmt: skip
    for name in ["", *names, "images", *(measures[name].short for name in (metric, *others)), "time"]:
        wide = name in names
        width = 8 if wide and name != "sample" else None
        table.add_column(name, justify="left" if wide else "right", no_wrap=not wide, overflow="fold", min_width=width)
    for row in rows:
        table.add_row(*_cells(row, names, metric, others), style="bold" if row["rank"] == "1" else None)
    return table


def is_missing(row: Mapping[str, str]) -> bool:
    return row["status"] == "missing"


def _cells(row: Mapping[str, str], names: Sequence[str], metric: str, others: Sequence[str]) -> list[RenderableType]:
    from rich.text import Text  # takes a name as it is; a plain string would be read as markup

    if is_missing(row):
        dashes = [text.DASH] * (len(others) + 1)
        return [Text(cell) for cell in ["", *(row[name] for name in names), text.DASH, "missing", *dashes]]
    tie = "=" if row["tie"] == "True" and row["rank"] != "1" else " "
    value, low, high = (_value(row[name]) for name in (metric, f"{metric}_low", f"{metric}_high"))
    cells = [row["rank"] + tie, *(row[name] for name in names), text.count(_value(row["train_images"]))]
    cells += [f"{text.number(value)} [{text.span(low, high)}]"]
    cells += [text.number(_value(row[name]), 2) for name in others]
    return [Text(cell) for cell in [*cells, text.duration(_value(row["seconds"]))]]


def _value(cell: str) -> float | None:
    return float(cell) if cell else None
