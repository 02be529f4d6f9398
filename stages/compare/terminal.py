"""The leaderboard in the terminal, read from the files on disk: it can be shown again without computing anything."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from ..shared.core.errors import UserError
from ..shared.core.paths import report_dir
from . import text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Row = Mapping[str, str]

MLFLOW_UI = "make ui"
MLFLOW_UI_PLAIN = "python -m stages ui"
WIDTH = 100  # of a log file
ROWS = 30  # models in the terminal; leaderboard.csv has all


def show(folder: Path | None = None, console: Console | None = None) -> None:
    """Print the leaderboard (the table fits 100 columns), where the report is and how to open MLflow.

    Raises:
        UserError: nothing has been compared yet.
    """
    from rich.console import Console
    from rich.text import Text

    from ..shared.measures import MEASURES

    folder = folder or report_dir("compare")
    path = folder / "leaderboard.csv"
    if not path.is_file():
        raise UserError(f"{path}: no leaderboard yet. Make it with `make run` (or `dvc repro`).")
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[Row] = list(csv.DictReader(file))
    # all ties are ties with the first row, so that row is shown whatever it is
    neighbours = [row for row in rows[1:] if row["kind"] == "neighbours"]
    complete = [rows[0], *(row for row in rows[1:] if row["kind"] == "model")]
    complete = placed(row for row in complete if row["status"] != "missing")
    missing = [row for row in rows if row["status"] == "missing"]
    metric, level = rows[0]["metric"], text.level(float(rows[0]["confidence"]))
    measures = {name: measure for task in MEASURES.values() for name, measure in task.metrics.items()}
    others = [name for name, measure in measures.items() if measure.headline and name in rows[0] and name != metric]
    headings = {name: measures[name].short for name in (metric, *others)}

    lines = []
    for chosen in (row for row in complete if row["chosen"] == "True"):
        value = text.number(float(chosen[f"val_{metric}"]))
        lines += [f"chosen on validation: {chosen['key']} (validation {measures[metric].label} {value})"]
    if any(row["tie"] == "True" for row in complete[1:]):
        label = measures[metric].label
        lines += [f"= : the {level} interval of its difference in {label} to the first row includes zero, a tie"]
    if complete[0]["floor"]:
        lines += [floor_line(complete, metric, headings[metric])]
    if any(row["floor_verdict"] == "worse" for row in complete):
        lines += ["< : shown to be worse than the floor"]
    if any(row["one_class"] for row in complete):
        lines += ["! : predicts one class for at least 98% of the test images, so do not use its predictions"]
    if rows[0]["kind"] == "neighbours":
        lines += ["+knn: no model, so without a place: the nearest training images vote, in the features of that model"]
    if missing:
        models = sum(row["kind"] == "model" for row in rows)
        lines += [f"missing: {len(missing)} of {models} models are incomplete; the others are compared without them"]
    if neighbours:
        rows_of = f"{len(neighbours)} row{'s' * (len(neighbours) > 1)} of neighbours"
        lines += [f"not shown: {rows_of} that vote in these models' features ({path})"]
    if len(complete) > ROWS:
        lines += [f"{len(complete) - ROWS} more models are in {path}"]
    lines += ["", f"Report     {folder / 'index.html'}", f"All runs   {MLFLOW_UI}   (or: {MLFLOW_UI_PLAIN})"]

    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(_table(complete[:ROWS] + missing, headings, level))
    console.print(Text("\n".join(lines)))


def placed(rows: Iterable[Row]) -> list[Row]:
    """The place of each row among the models, since rows of neighbours are not all shown; such a row has none."""
    places = count(1)
    return [{**row, "place": str(next(places)) if row["kind"] == "model" else ""} for row in rows]


def floor_line(rows: Sequence[Row], metric: str, label: str) -> str:
    """What is reached without a network, and how many models are shown to reach more."""
    models = [row for row in rows if row["kind"] == "model"]
    better = sum(row["floor_verdict"] == "better" for row in models)
    worse = sum(row["floor_verdict"] == "worse" for row in models)
    shown = f"{better} of {len(models)} models {'is' if better == 1 else 'are'} shown to be better"
    shown += f", {worse} to be worse" if worse else ""
    return f"floor: {rows[0]['floor']} reaches {label} {text.number(float(rows[0][f'floor_{metric}']))}; {shown}"


def _table(rows: Sequence[Row], headings: Mapping[str, str], level: str) -> Table:
    """`headings`: of the metrics; the first is the one that decides, and has its interval."""
    from rich import box
    from rich.table import Table
    from rich.text import Text  # takes a name as it is; a plain string would be read as markup

    title, backbones = f"Leaderboard on the test split, [{level} interval]", {row["backbone"] for row in rows}
    names = ["backbone", "strategy", "sample"] if len(backbones) > 1 else ["strategy", "sample"]
    table = Table(
        box=box.SIMPLE_HEAD, padding=0, show_edge=False, title_justify="left",
        title=title if len(backbones) > 1 else f"{title}: {min(backbones)}",
    )  # fmt: skip
    table.add_column(justify="right", no_wrap=True)
    for name in names:
        table.add_column(name, overflow="fold", min_width=None if name == "sample" else 8)
    for heading in ("images", *headings.values(), "time"):
        table.add_column(heading, justify="right", no_wrap=True, overflow="fold")
    for row in rows:
        cells = _cells(row, names, *headings)
        table.add_row(*map(Text, cells), style="bold" if row["rank"] == "1" else None)
    return table


def _cells(row: Row, names: Sequence[str], metric: str, *others: str) -> list[str]:
    labels = [row[name] for name in names]
    if row["status"] == "missing":
        return ["", *labels, text.DASH, "missing", *(text.DASH for _ in (*others, "time"))]

    def value(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    marks = ("=" if row["tie"] == "True" and row["rank"] != "1" else "") + ("!" if row["one_class"] else "")
    marks += "<" if row["floor_verdict"] == "worse" else ""
    return [
        f"{row['place']}{marks:1}",
        *labels,
        text.count(value("train_images")),
        f"{text.number(value(metric))} [{text.span(value(f'{metric}_low'), value(f'{metric}_high'))}]",
        *(text.number(value(name), 2) for name in others),
        text.duration(value("seconds")),
    ]
