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


def select(index: pd.DataFrame, sample: Sample, usable: np.ndarray | None = None) -> Rows:
    """The rows of one sample, among those that are `usable`, N booleans; None: all are.

    A part is taken in whole groups (a patient and all duplicates of its images), class by class, in an order that
    the sample's seed fixes: with one seed, smaller parts are subsets of larger ones.

    Raises:
        UserError: there is no such fold, or a class has no training image left, or fewer than asked for.
    """
    fold = index["fold"] if usable is None else index["fold"].where(usable, -1)
    validation = fold == sample.fold
    if not validation.any():
        folds = ", ".join(map(str, sorted(set(fold[fold >= 0]))))
        raise UserError(
            f"params.yaml: samples: fold {sample.fold} does not exist; preprocess.split made folds {folds}."
        )
    development = (fold >= 0) & ~validation
    train = development & index["group"].isin(_choose_groups(index[development], sample))
    missing = [c for c in index["label"].cat.categories if c not in set(index.loc[train, "label"])]
    if missing:
        raise UserError(
            f"params.yaml: samples: fraction {sample.fraction} of fold {sample.fold} leaves no training image of "
            f"{', '.join(missing)}. Raise the fraction."
        )
    return Rows(np.flatnonzero(train), np.flatnonzero(validation))


def _choose_groups(development: pd.DataFrame, sample: Sample) -> set[int]:
    """A group counts for the label that most of its images carry; each class gives at least one group."""
    label_of = development.groupby("group")["label"].agg(lambda labels: labels.mode().iloc[0])
    chosen: set[int] = set()
    for label in development["label"].cat.categories:
        groups = np.sort(label_of.index[label_of == label].to_numpy())
        order = np.random.default_rng(sample.seed).permutation(groups)
        count = max(1, round(sample.fraction * len(order)))
        if sample.per_class is not None:
            images = development.loc[development["label"] == label, "group"].value_counts()[order].to_numpy()
            if images.sum() < sample.per_class:
                raise UserError(
                    f"params.yaml: samples: per_class is {sample.per_class}, and {label} has {images.sum()} images to "
                    f"train on in fold {sample.fold}. Give at most that many, or fraction: 1.0 for all."
                )
            count = int(np.searchsorted(images.cumsum(), sample.per_class)) + 1
        chosen |= {int(group) for group in order[:count]}
    return chosen
