"""Which rows train and which validate, for one entry of `samples`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..shared.arrays.arrays import at_sites
from ..shared.core.errors import UserError, unknown
from ..shared.tasks import TASKS
from .params import Params
from .params.sample import Sample

LEFT_OUT = -2  # instead of the fold of an image that does not take part


@dataclass(frozen=True)
class Rows:
    """Positions in the index, sorted."""

    train: np.ndarray
    validation: np.ndarray


def sample_rows(params: Params, index: pd.DataFrame, where: str) -> Rows:
    """Of the sample of one training, as its task uses them."""
    task = TASKS[params.task]
    return select(index, params.sample, task.usable(index), task.learnable(index), where)


def select(
    index: pd.DataFrame,
    sample: Sample,
    usable: np.ndarray | None = None,
    learnable: np.ndarray | None = None,
    where: str = "sample",
) -> Rows:
    """The rows of one sample, among those that are `usable`, N booleans; None: all are. Only those train that are also
    `learnable`, and only classes with such images are asked for. `where`: its place in params.yaml, for messages.

    A part is taken in whole groups (a patient and all duplicates of its images), class by class, in an order that
    the sample's seed fixes: with one seed, smaller parts are subsets of larger ones.

    Raises:
        UserError: there is no such fold or site, no image is usable, or none of the test images, or a class has
            images and none to train on, or fewer than asked for.
    """
    chosen = _at_sites(index, sample, where) & (True if usable is None else usable)
    if not chosen.any():
        raise UserError(
            f"data/processed: the task can use none of {len(index)} images{_at(sample)}. A task that learns from masks "
            "uses annotated images only: see params.yaml: validate.mask, and mask_present in "
            "reports/validate/data_docs/index.html."
        )
    if usable is not None and not (usable & (index["split"] == "test")).any():
        raise UserError(
            "data/processed: the task can use none of the test images, so no model could be judged. A task that learns "
            "from masks tests on annotated images only: see params.yaml: preprocess.split and validate.mask, and "
            "mask_present in reports/validate/data_docs/index.html."
        )
    fold = index["fold"].where(chosen, LEFT_OUT)
    validation = fold == sample.fold
    if not validation.any():
        folds = ", ".join(map(str, sorted(set(fold[fold >= 0]))))
        if (index["fold"] == sample.fold).any():
            raise UserError(
                f"{where}: fold {sample.fold} has no image{_at(sample)} that validates. "
                f"Folds with one: {folds or 'none'}. Take one of them, or fewer preprocess.split.folds."
            )
        raise UserError(f"{where}: fold {sample.fold} does not exist; preprocess.split made folds {folds}.")
    learnable = np.ones(len(index), dtype=bool) if learnable is None else learnable
    development = (fold >= 0) & ~validation & learnable
    classes = [c for c in index["label"].cat.categories if (index["label"][chosen & learnable] == c).any()]
    if elsewhere := sorted(set(classes) - set(index["label"][development])):
        raise UserError(
            f"{where}: fold {sample.fold}{_at(sample)}: all images of {', '.join(elsewhere)} that could "
            "train lie in validation or test. Take another fold or fewer preprocess.split.folds, or get more of them"
            + ("." if usable is None or usable.all() else " annotated (validate.mask).")
        )
    train = development & index["group"].isin(_choose_groups(index[development], classes, sample, where))
    missing = [c for c in classes if c not in set(index.loc[train, "label"])]
    if missing:
        raise UserError(
            f"{where}: fraction {sample.fraction} of fold {sample.fold}{_at(sample)} leaves no training "
            f"image of {', '.join(missing)}. Raise the fraction."
        )
    return Rows(np.flatnonzero(train), np.flatnonzero(validation))


def _at_sites(index: pd.DataFrame, sample: Sample, where: str) -> np.ndarray:
    """bool: the rows of the sites that the sample takes."""
    for name, site in (("site", sample.site), ("leave_out", sample.leave_out)):
        if site is None:
            continue
        if "site" not in index:
            raise UserError(
                f"{where}.{name}: {site!r}, but the images have no sites. Set validate.site to an "
                f"expression that finds the site in the name, or leave {name} out."
            )
        sites = index["site"].dropna().unique()
        if site not in sites:
            raise unknown(f"{where}.{name}", site, sites)
    return at_sites(index, sample.model_dump())


def _at(sample: Sample) -> str:
    if sample.leave_out:
        return f" at a site other than {sample.leave_out}"
    return f" at site {sample.site}" if sample.site else ""


def _choose_groups(development: pd.DataFrame, classes: list[str], sample: Sample, where: str) -> set[int]:
    """A group counts for the label that most of its images carry; each class gives at least one group."""
    label_of = development.groupby("group")["label"].agg(lambda labels: labels.mode().iloc[0])
    chosen: set[int] = set()
    for label in classes:
        groups = np.sort(label_of.index[label_of == label].to_numpy())
        order = np.random.default_rng(sample.seed).permutation(groups)
        count = max(1, round(sample.fraction * len(order)))
        if sample.per_class is not None:
            images = development.loc[development["label"] == label, "group"].value_counts()[order].to_numpy()
            if images.sum() < sample.per_class:
                raise UserError(
                    f"{where}.per_class: {sample.per_class}, but {label} has {images.sum()} images to "
                    f"train on in fold {sample.fold}. Give at most that many, or fraction: 1.0 for all."
                )
            count = int(np.searchsorted(images.cumsum(), sample.per_class)) + 1
        chosen |= {int(group) for group in order[:count]}
    return chosen
