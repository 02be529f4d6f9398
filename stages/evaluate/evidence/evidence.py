"""What a section is made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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
