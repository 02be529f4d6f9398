"""Rows of a sorted table, those nearest to its middle first."""

from __future__ import annotations

import pandas as pd


def middle_first(ordered: pd.DataFrame) -> pd.DataFrame:
    """Of two rows that are equally near to the middle, the upper one first."""
    distance = (ordered.reset_index(drop=True).index.to_series() - (len(ordered) - 1) / 2).abs()
    return ordered.iloc[distance.sort_values(kind="stable").index]
