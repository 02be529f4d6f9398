"""What evaluate leaves of a model whose predictions are made up: metrics, draws, and the sections of the evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.evaluate import Params
from stages.evaluate.evidence import COLUMNS, SECTIONS, subgroups
from stages.evaluate.evidence.evidence import Evidence
from stages.shared.core.files import write_json
from stages.shared.core.task import CALIBRATED, IN_SET
from stages.shared.measures import MEASURES
from stages.shared.measures.judge import Resampling, judge, write

HOW = Resampling(300, 0.95, seed=0)


COST = {
    "parameters": 457_694,
    "flops": 40_000_000,
    "latency_ms": {
        "1": {"value": 2.0, "low": 1.5, "high": 3.0, "passes": 50},
        "32": {"value": 40.0, "low": 39.0, "high": 44.0, "passes": 5},
    },
    "memory_mb": {"1": 2.2, "32": 13.9},
    "energy_j": {"value": None, "source": "not readable here (no counter in /sys/class/powercap)"},
    "machine": {"device": "a processor", "threads": 1},
}


def described(table: pd.DataFrame) -> pd.DataFrame:
    """With made-up facts about the files, the same for equal paths."""
    rng = np.random.default_rng(len(table))
    return table.assign(
        width=64.0, height=64.0, brightness=rng.normal(100, 20, len(table)), contrast=rng.normal(50, 5, len(table))
    )


def evidence(
    table: pd.DataFrame, how: Resampling = HOW, task: str = "classification", options: Params | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table with the columns that evaluate adds, in place of those that it has, and the sections."""
    table = table[[name for name in table if not str(name).startswith((CALIBRATED, IN_SET))]]
    own = Evidence(options or Params(), table, how, None, None, None, np.arange(len(table)))  # type: ignore[arg-type]
    for columns in COLUMNS[task]:
        own = replace(own, table=own.table.join(columns(own)))
    groups = subgroups.compared(own.test, MEASURES[task], subgroups.COMPUTE[task], how, 10, {})
    names = ("failures", *MEASURES[task].sections)
    return own.table, {"subgroups": groups} | {name: SECTIONS[task][name](own) for name in names}


def write_evaluation(
    folder: Path, table: pd.DataFrame, how: Resampling = HOW, task: str = "classification", **numbers: Any
) -> None:
    table = table if "brightness" in table else described(table)
    judgement = judge(table, MEASURES[task], how)
    options = Params.model_validate(numbers.get("settings", {}))
    table, sections = evidence(table, how, task, options)
    numbers = {**judgement.numbers, **sections, **numbers, "settings": options.model_dump()}
    write(folder, table, replace(judgement, numbers=numbers))
    write_json(folder / "cost.json", COST)
