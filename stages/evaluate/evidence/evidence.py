"""What a section is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ...shared.arrays.arrays import Arrays
from ...shared.measures.judge import Resampling
from ...shared.model.model import Model
from ...shared.model.recipe import Recipe
from ..params import Params


@dataclass(frozen=True)
class Evidence:
    """A model and what it said. `table`: one row per validation and test image, as predictions.parquet has them; row i
    is row `rows[i]` of the arrays. `how`: the draws behind every interval (shared/measures/judge.py: estimates)."""

    params: Params
    table: pd.DataFrame
    how: Resampling
    model: Model
    recipe: Recipe
    arrays: Arrays
    rows: np.ndarray

    @cached_property
    def test(self) -> pd.DataFrame:
        """Rows of `table`; their labels in the index are places in `rows`."""
        return self.table[self.table["split"] == "test"]

    @cached_property
    def validation(self) -> pd.DataFrame:
        return self.table[self.table["split"] == "val"]


def headlines(sections: Mapping[str, Any]) -> dict[str, float]:
    """For MLflow: the estimates of a section, and of the groups in it, but not those of classes or of lists; of
    subgroups, how many gaps are shown among how many comparisons."""
    gaps = sections.get("subgroups", {})
    values = {f"subgroups/{name}": float(gaps[name]) for name in ("comparisons", "shown") if name in gaps}
    for name, section in sections.items():
        groups = {name: section} | {f"{name}/{group}": own for group, own in section.items() if group != "per_class"}
        for place, group in groups.items():
            for metric, estimate in group.items() if isinstance(group, Mapping) else ():
                if isinstance(estimate, Mapping) and isinstance(estimate.get("value"), float):
                    values[f"{place}/{metric}"] = estimate["value"]
    return values
