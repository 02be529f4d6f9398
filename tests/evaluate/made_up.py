"""Images for made-up predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd


def images(
    count: int, classes: int, validation: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """(the index: two images of a patient, the first `validation` of them validate; their class numbers; the names)."""
    truth = rng.integers(classes, size=count // 2).repeat(2)
    names = [f"class_{k}" for k in range(classes)]
    index = pd.DataFrame(
        {
            "path": [f"{i:04d}.png" for i in range(count)],
            "label": pd.Categorical.from_codes(truth, names),
            "patient": [f"p{i // 2}" for i in range(count)],
            "group": np.arange(count) // 2,
            "split": np.where(np.arange(count) < validation, "val", "test"),
        }
    )
    return index, truth, names
