"""Which test cases are shown."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .params import Params


def choose(predictions: pd.DataFrame, classes: list[str], params: Params) -> pd.DataFrame:
    """Up to `right` and `wrong` test cases of each class, at most one image of a patient per class and outcome.

    Adds `confidence` (the probability of what was predicted) and `correct`. Ordered by class, right before wrong.
    """
    test = predictions[predictions["split"] == "test"].copy()
    test["confidence"] = test.filter(regex="^prob_").max(axis=1)
    test["correct"] = test["label"].astype(str) == test["predicted"].astype(str)
    test = ordered(test, params)
    parts = []
    for name in classes:
        for correct, count in ((True, params.right), (False, params.wrong)):
            fitting = test[(test["label"] == name) & (test["correct"] == correct)]
            parts.append(fitting.drop_duplicates("patient").head(count))
    return pd.concat(parts)


def ordered(test: pd.DataFrame, params: Params) -> pd.DataFrame:
    if params.choose == "random":
        return test.iloc[np.random.default_rng(params.seed).permutation(len(test))]
    return test.sort_values(["confidence", "path"], ascending=[params.choose == "uncertain", True], kind="stable")
