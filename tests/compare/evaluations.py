"""What evaluate leaves of a model whose predictions are made up: metrics, draws, and the sections of the evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.evaluate.evidence import subgroups
from stages.shared.measures import MEASURES
from stages.shared.measures.judge import Resampling, judge, write

HOW = Resampling(300, 0.95, seed=0)


def described(table: pd.DataFrame) -> pd.DataFrame:
    """With made-up facts about the files, the same for equal paths."""
    rng = np.random.default_rng(len(table))
    return table.assign(
        width=64.0, height=64.0, brightness=rng.normal(100, 20, len(table)), contrast=rng.normal(50, 5, len(table))
    )


def evidence(table: pd.DataFrame, how: Resampling = HOW, task: str = "classification") -> dict[str, Any]:
    test = table[table["split"] == "test"]
    return {"subgroups": subgroups.compared(test, MEASURES[task], subgroups.COMPUTE[task], how, 10, {})}


def write_evaluation(
    folder: Path, table: pd.DataFrame, how: Resampling = HOW, task: str = "classification", **numbers: Any
) -> None:
    table = table if "brightness" in table else described(table)
    judgement = judge(table, MEASURES[task], how)
    numbers = {**judgement.numbers, **evidence(table, how, task), **numbers}
    write(folder, table, replace(judgement, numbers=numbers))
