"""What a task provides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...shared.arrays.arrays import Arrays
from ...shared.model.model import Model
from ..params import Params


@dataclass(frozen=True)
class Pictures:
    """each: of every case, by their name (image, heatmap, …), uint8 H×W or H×W×3. arrays: what heatmaps.npz holds, by
    name, n×… method: what made the heat maps, where there is a choice."""

    each: list[dict[str, np.ndarray]]
    arrays: dict[str, np.ndarray]
    method: str = ""


class Cases(Protocol):
    """A module with these names."""

    def choose(self, predictions: pd.DataFrame, classes: list[str], params: Params) -> pd.DataFrame:
        """Rows of predictions.parquet, in the order in which they are shown."""

    def facts(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What cases.json says of a chosen row beside its path and its patient, as plain values."""

    def pictures(
        self, model: Model, arrays: Arrays, rows: np.ndarray, chosen: pd.DataFrame, params: Params
    ) -> Pictures:
        """Of the chosen rows, which are `rows` of the arrays."""

    def gallery(self, cases: Sequence[Mapping[str, Any]], pictures: Pictures, name: str) -> Figure:
        """All of them in one figure. `name`: of the model."""
