"""Which rows train and which validate, for one entry of `samples`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..shared.core.errors import UserError
from .params.sample import Sample


@dataclass(frozen=True)
class Rows:
    """Positions in the index, sorted."""

    train: np.ndarray
    validation: np.ndarray


def select(index: pd.DataFrame, sample: Sample) -> Rows:
    """The rows of one sample.

    A part is taken in whole groups (a patient and all duplicates of its images), class by class, in an order that
    the sample's seed fixes: with one seed, smaller parts are subsets of larger ones.

    Raises:
        UserError: there is no such fold, or a class has nobody left to learn from, or fewer images than asked for.
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
    return Rows(positions[index.index.isin(train.index)], positions[validation.to_numpy()])


def _choose_groups(development: pd.DataFrame, sample: Sample) -> set[int]:
    """A group counts for the label that most of its images carry; each class gives at least one group."""
    label_of = development.groupby("group")["label"].agg(lambda labels: labels.mode().iloc[0])
    chosen: set[int] = set()
    for label in development["label"].cat.categories:
        groups = np.sort(label_of.index[label_of == label].to_numpy())
        order = np.random.default_rng(sample.seed).permutation(groups)
        images = development.loc[development["label"] == label, "group"].value_counts()
        chosen |= {int(g) for g in order[: _take(images[order].to_numpy(), sample, label)]}
    return chosen


def _take(images: np.ndarray, sample: Sample, label: str) -> int:
    """How many of the groups with so many images of that label each."""
    if sample.per_class is None:
        return max(1, round(sample.fraction * len(images))) if len(images) else 0
    if images.sum() < sample.per_class:
        raise UserError(
            f"params.yaml: samples: per_class is {sample.per_class}, and {label} has {images.sum()} images to train on "
            f"in fold {sample.fold}. Give at most that many, or fraction: 1.0 for all."
        )
    return int(np.searchsorted(images.cumsum(), sample.per_class)) + 1
