"""The leaderboard in the terminal, read from the files on disk: it can be shown again without computing anything."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from ..shared.core.errors import UserError
from ..shared.core.paths import report_dir

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

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
    whole = [row for row in rows if not missing(row)]
    ties = any(row["tie"] == "True" for row in rows[1:])
    gone = [row["key"] for row in rows if missing(row)]
    level = f"{100 * float(rows[0]['confidence']):g}%"
    lines = [f"= : the {level} interval of its AUROC difference to the first row holds zero, a tie"] if ties else []
    if gone:
        lines += [f"missing: {len(gone)} of {len(rows)} models are not made, so the rest is compared without them"]
    if len(whole) > ROWS:
        lines += [f"{len(whole) - ROWS} more models are in {path}"]
    lines += ["", f"Report     {folder / 'index.html'}", f"All runs   {MLFLOW_UI}   (or: {MLFLOW_UI_PLAIN})"]
    listed = whole[:ROWS] + [row for row in rows if missing(row)]
    return [_table(listed, level), Text("\n".join(lines))]


def _table(rows: list[dict[str, str]], level: str) -> RenderableType:
    from rich import box
    from rich.table import Table

    backbones = sorted({row["backbone"] for row in rows})
    words = ["backbone"] * (len(backbones) > 1) + ["strategy", "sample"]
    title = f"Leaderboard on the test split, [{level} interval]"
    table = Table(
        box=box.SIMPLE_HEAD, padding=0, show_edge=False, title_justify="left",
        title=title if len(backbones) > 1 else f"{title}: {backbones[0]}",
    )  # fmt: skip
    for name in ["", *words, "images", "AUROC", "bal.acc", "sens", "spec", "time"]:
        wide = name in words
        table.add_column(
            name,
            justify="left" if wide else "right",
            no_wrap=not wide,
            overflow="fold",
            min_width=8 if wide and name != "sample" else None,
        )
    for row in rows:
        table.add_row(*_cells(row, words), style="bold" if row["rank"] == "1" else None)
    return table


def missing(row: dict[str, str]) -> bool:
    return row.get("status") == "missing"  # a leaderboard of an older version has no such column


def _cells(row: dict[str, str], words: list[str]) -> list[RenderableType]:
    from rich.text import Text  # takes a name as it is; a plain string would be read as markup

    if missing(row):
        return [Text(cell) for cell in ["", *(row[name] for name in words), "–", "missing", "–", "–", "–", "–"]]
    tie = "=" if row["tie"] == "True" and row["rank"] != "1" else " "
    interval = f"{_number(row['auroc'])} [{_number(row['auroc_low'])}–{_number(row['auroc_high'])}]"
    rates = [_number(row[name], 2) for name in ("balanced_accuracy", "sensitivity", "specificity")]
    cells = [row["rank"] + tie, *(row[name] for name in words), _count(row["train_images"]), interval, *rates]
    return [Text(cell) for cell in [*cells, _time(row["seconds"])]]


def _number(text: str, digits: int = 3) -> str:
    return f"{float(text):.{digits}f}" if text else "–"


def _count(text: str) -> str:
    return f"{float(text):,.0f}" if text else "–"


def _time(text: str) -> str:
    seconds = float(text) if text else None
    if seconds is None:
        return "–"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
