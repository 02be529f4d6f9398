"""Rates over the test images, on all draws by one product of matrices. Shapes: N images, R draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...shared.measures.statistics import ratio

Rate = tuple[np.ndarray, np.ndarray]
"""N booleans each: is counted, and of which images."""
Numbers = dict[tuple[Any, ...], np.ndarray]


class Rates:
    """By name, one rate or several whose mean is meant."""

    def __init__(self, parts: Mapping[tuple[Any, ...], Sequence[Rate]]) -> None:
        self.parts = parts
        rates = [rate for several in parts.values() for rate in several]
        self.of = np.stack([of for _, of in rates], axis=1).astype(np.float64)
        self.counted = np.stack([counted & of for counted, of in rates], axis=1).astype(np.float64)

    def of_draws(self, weights: np.ndarray) -> Numbers:
        """R values of each name, from weights R×N, float64."""
        rates = ratio(weights @ self.counted, weights @ self.of)
        ends = np.cumsum([len(several) for several in self.parts.values()])[:-1]
        return {name: own.mean(axis=1) for name, own in zip(self.parts, np.split(rates, ends, axis=1), strict=True)}

    @property
    def rated(self) -> dict[tuple[Any, ...], list[np.ndarray]]:
        """The images of each rate, as `estimates` wants them."""
        return {name: [of for _, of in several] for name, several in self.parts.items()}
