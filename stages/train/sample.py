"""Which rows train and which validate, for one entry of `samples`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..shared.errors import UserError
from .params import Sample


def select(index: pd.DataFrame, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """(training rows, validation rows), sorted.

    A fraction is taken in whole groups (a patient and all duplicates of its images), class by class, in an order that
    the sample's seed fixes: with one seed, smaller fractions are subsets of larger ones.

    Raises:
        UserError: there is no such fold, or a class has nobody left to learn from.
    """
    folds = sorted(int(f) for f in index.loc[index["fold"] >= 0, "fold"].unique())
    if sample.fold not in folds:
        raise UserError(
            f"params.yaml: samples: fold {sample.fold} does not exist; preprocess.split made folds "
            f"{', '.join(map(str, folds))}."
        )
    validation = index["fold"] == sample.fold
    development = index[(index["fold"] >= 0) & ~validation]
    chosen = development["group"].isin(_choose_groups(development, sample))
    train = development[chosen]
    missing = [c for c in index["label"].cat.categories if c not in set(train["label"])]
    if missing:
        raise UserError(
            f"params.yaml: samples: fraction {sample.fraction} of fold {sample.fold} leaves no training image of "
            f"{', '.join(missing)}. Raise the fraction."
        )
    positions = np.arange(len(index))
    return positions[index.index.isin(train.index)], positions[validation.to_numpy()]


def _choose_groups(development: pd.DataFrame, sample: Sample) -> set[int]:
    """A group counts for the label that most of its images carry; each class gives at least one group."""
    label_of = development.groupby("group")["label"].agg(lambda labels: labels.mode().iloc[0])
    chosen: set[int] = set()
    for label in development["label"].cat.categories:
        groups = np.sort(label_of.index[label_of == label].to_numpy())
        order = np.random.default_rng(sample.seed).permutation(groups)
        take = max(1, round(sample.fraction * len(order))) if len(order) else 0
        chosen |= {int(g) for g in order[:take]}
    return chosen
