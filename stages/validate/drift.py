"""Do classes, or the parts of a provided split, differ in what should not matter? As effect sizes: with many images a
difference that means nothing is significant.

A difference is standardised: that of two means over the root of the mean of both variances, and the same of two shares
(Austin 2009, Statistics in Medicine 28:3083). 0.2 is small, 0.5 medium, 0.8 large (Cohen 1988). Few patients differ by
chance alone, so what counts is the low end of its interval (Hedges & Olkin 1985), with patients as the number.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

FILE = ("width", "height", "aspect", "mode", "quantisation")
GREY = ("brightness", "contrast")
LARGEST = 10.0  # of a difference; that of two groups without any spread has no end
FEWEST = 5  # patients of a group; of fewer, a mean says little
ERRORS = 3  # standard errors below the difference: many columns and pairs are looked at


def differences(rows: pd.DataFrame, group: pd.Series, columns: Sequence[str]) -> pd.DataFrame:
    """Of each column, the two groups that most surely differ: `path`, that in words, `effect`, and `low`, the end of
    its interval. `rows`: one per image, with `patient`; `group`: of each, missing where it has none."""
    sizes = rows["patient"].groupby(group, observed=True).nunique()
    names = [name for name in dict.fromkeys(group.dropna()) if sizes[name] >= FEWEST]
    lines = []
    for column in columns:
        numbers = indicators(rows[column])
        pairs = []
        for what in numbers:
            for one, other in combinations(names, 2):
                difference = effect(numbers[what][group == one], numbers[what][group == other])
                low = difference - ERRORS * standard_error(difference, sizes[one], sizes[other])
                pairs.append((low, difference, what, one, other))
        if pairs:
            low, difference, what, one, other = max(pairs, key=lambda pair: pair[0])
            means = [f"{name} {numbers[what][group == name].mean():.4g}" for name in (one, other)]
            words = f"{what}: {', '.join(means)} (difference {difference:.2f})"
            lines.append({"path": words, "effect": difference, "low": low})
    return pd.DataFrame(lines, columns=["path", "effect", "low"])


def standard_error(effect: float, one: int, other: int) -> float:
    """Of a standardised difference of groups of so many patients."""
    return float(np.sqrt(1 / one + 1 / other + effect**2 / (2 * (one + other))))


def indicators(column: pd.Series) -> pd.DataFrame:
    """A column of numbers as it is; of anything else, a column for each value: 1 where an image has it."""
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(float).to_frame(str(column.name)).fillna(0.0)
    dummies = pd.get_dummies(column.astype(str), dtype=float)
    return dummies.rename(columns={value: f"share of {column.name} {value}" for value in dummies})


def effect(one: pd.Series, other: pd.Series) -> float:
    """The standardised difference, at most LARGEST."""
    apart = abs(float(one.mean() - other.mean()))
    spread = float(np.sqrt((one.var() + other.var()) / 2))
    return min(apart / spread, LARGEST) if spread > 0 else LARGEST * (apart > 0)
