"""Which test images are shown."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..shared.core.task import PROBABILITY
from .params import Params


def choose(predictions: pd.DataFrame, classes: list[str], params: Params) -> pd.DataFrame:
    """Up to `right` and `wrong` test images of each class, at most one of a patient per class and outcome.

    Adds `confidence` (the probability of the predicted class) and `correct`. Ordered by class, right before wrong.
    """
    test = predictions[predictions["split"] == "test"].copy()
    test["confidence"] = test.filter(regex=f"^{PROBABILITY}").max(axis=1)
    test["correct"] = test["label"].astype(str) == test["predicted"].astype(str)
    if params.choose == "random":
        test = test.iloc[np.random.default_rng(params.seed).permutation(len(test))]
    else:
        lowest_first = params.choose == "uncertain"
        test = test.sort_values(["confidence", "path"], ascending=[lowest_first, True], kind="stable")
    parts = []
    for name in classes:
        for correct, count in ((True, params.right), (False, params.wrong)):
            group = test[(test["label"] == name) & (test["correct"] == correct)]
            parts.append(group.drop_duplicates("patient").head(count))
    return pd.concat(parts)
