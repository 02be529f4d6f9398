"""The model that validation chose, as compare wrote it down."""

from __future__ import annotations

import csv
from pathlib import Path

from ..core.errors import UserError
from ..core.paths import report_dir


def chosen_key(folder: Path | None = None) -> str:
    """Its key, from leaderboard.csv.

    Raises:
        UserError: there is no leaderboard, or no complete model in it.
    """
    path = (folder or report_dir("compare")) / "leaderboard.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            keys = [row["key"] for row in csv.DictReader(file) if row["chosen"] == "True"]
    except FileNotFoundError:
        raise UserError(f"{path}: missing, so no model is chosen yet. Run `make run`.") from None
    if not keys:
        raise UserError(f"{path}: no model is complete, so validation chose none. Run `make run`.")
    return keys[0]
