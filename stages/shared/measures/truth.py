"""The annotated masks that predictions are judged by, from the arrays of a study."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .measure import Decision, Truth

if TYPE_CHECKING:
    import pandas as pd

NO_TRUTH = Truth(np.zeros((0, 1, 1), np.uint8), [], lambda row: None, lambda maps, size: maps)
"""For predictions that are a table alone."""


class Annotated(Protocol):
    """N images, H×W pixels."""

    @property
    def index(self) -> pd.DataFrame:
        """N rows with the columns has_mask and mask_fits."""

    @property
    def masks(self) -> np.ndarray | None:
        """N×H×W class numbers; None where no image is annotated."""

    @property
    def structures(self) -> list[str]: ...

    @property
    def size(self) -> tuple[int, int]: ...

    def original_mask(self, row: int) -> np.ndarray:
        """At the size of the file of an annotated image."""


def truth_of(
    arrays: Annotated, rows: np.ndarray, restore: Callable[[np.ndarray, tuple[int, int]], np.ndarray],
    decision: Decision | None = None, mask_of: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Truth:  # fmt: skip
    """The masks of these rows; where there are none at all, no structures and nothing annotated. The others: see
    `Truth`."""
    index = arrays.index.iloc[rows]
    if arrays.masks is None:
        masks = np.broadcast_to(np.uint8(0), (len(rows), *arrays.size))
        annotated = np.zeros(len(rows), dtype=bool)
    else:
        masks, annotated = arrays.masks[rows], index["has_mask"].to_numpy()

    def original(i: int) -> np.ndarray | None:
        comparable = annotated[i] and index["mask_fits"].iloc[i]
        return arrays.original_mask(int(rows[i])) if comparable else None

    return Truth(masks, arrays.structures, original, restore, annotated, decision, mask_of)
