"""Rows of the manifest -> group, fold and split of each, or an error that says why that cannot be."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..shared.core import metadata
from ..shared.core.deal import deal
from ..shared.core.errors import UserError
from ..shared.core.groups import groups
from .params import Split
from .provided import SECTION, provided_parts

UNLIKE_CLASSES = 0.1  # share of a class in a part, less its share in the whole set: what deserves a warning
UNLIKE_SIZE = 0.25  # images of a part, relative to what it should have
EVEN = (
    f"In every part the share of each class is within {100 * UNLIKE_CLASSES:g} points of its share in all images, and "
    f"the number of images within {UNLIKE_SIZE:.0%} of an even deal."
)
"""Of a split without uneven parts."""


def assign(rows: pd.DataFrame, split: Split) -> pd.DataFrame:
    """path, label, patient, has_mask, site (if there are any), group, split, fold, metadata: in the order of `rows`,
    which have no quarantined image. That order is the archive's, and the seed and it decide the split: names do not, so
    that patients under pseudonyms are dealt as they would be under their names.

    Raises: UserError: fewer groups than folds, a part without images of a class, a provided split that is
        missing, has no test part, or divides a group.
    """
    sites = ["site"] if rows["site"].notna().any() else []
    index = rows[["path", "label", "patient", "has_mask", *sites]].reset_index(drop=True)
    index["group"] = groups(rows["patient"], rows["cluster"])
    classes = index["label"].cat.categories
    counts = _counts(index["group"], index["label"].cat.codes, len(classes))
    _enough_groups(pd.DataFrame(counts, columns=classes), split)
    strata = np.column_stack([counts, _strata(index)])
    if split.method == "provided":
        part = provided_parts(index, rows["provided_split"], split)
    else:
        part = np.where(_held_out(strata, len(classes), split), "test", "train")
    fold = np.full(len(counts), -1, np.int64)
    fold[part == "val"] = 0
    first = int(split.val == "provided")  # of the folds that are dealt
    dealt = part == "train"
    fold[dealt] = first + _folds(strata[dealt], len(classes), split.folds - first, split.seed)
    index["split"] = np.select([fold < 0, fold == 0], ["test", "val"], "train")[index["group"]]
    index["fold"] = fold[index["group"]]
    _every_class_everywhere(index, split)
    return index.join(rows[metadata.columns(rows.columns)].reset_index(drop=True))


def patients_known(index: pd.DataFrame) -> bool:
    """False where validate.patient is null and every image counts as a patient of its own."""
    return bool((index["patient"] != index["path"]).any())


def _counts(groups: pd.Series, codes: pd.Series, kinds: int) -> np.ndarray:
    """int64 G×K: of each group, its images of each kind."""
    counts = np.zeros((groups.max() + 1, kinds), np.int64)
    np.add.at(counts, (groups, codes), 1)
    return counts


def _strata(index: pd.DataFrame) -> np.ndarray:
    """int64 G×S: of each group, its images of each class, annotated or not, at each site. No column where all images
    are alike in this, so that there are only classes to spread."""
    columns = [name for name in ("has_mask", "site") if name in index and index[name].nunique(dropna=False) > 1]
    if not columns:
        return np.zeros((index["group"].max() + 1, 0), np.int64)
    codes = index.groupby(["label", *columns], observed=True, dropna=False).ngroup()
    return _counts(index["group"], codes, codes.max() + 1)


def _held_out(strata: np.ndarray, classes: int, split: Split) -> np.ndarray:
    """bool G: the groups of the test part. `strata`: G×(K+S), the first K columns are the
    classes. It depends on the number of folds only where another test part would leave too few groups of a class for
    them."""
    shares = [split.test, 1 - split.test]
    test = deal(strata, shares, [1, 1], split.seed) == 0
    if (strata[~test, :classes] > 0).sum(0).min() < split.folds:
        test = deal(strata, shares, [1, split.folds], split.seed) == 0
    return np.asarray(test)


def _folds(strata: np.ndarray, classes: int, folds: int, seed: int) -> np.ndarray:
    """int64 G: the fold of each group, from 0. The folds are numbered at random, but one that is unlike the others
    comes last: fold 0 validates unless a sample says otherwise, and a patient with a large part of the images should
    train."""
    fold = deal(strata, [1 / folds] * folds, [1] * folds, seed)
    counts = strata[:, :classes]
    counts = counts[:, counts.any(axis=0)]  # a class that is in the test part alone is refused later, with a table
    images = np.stack([counts[fold == k].sum(0) for k in range(folds)])
    unlike = np.abs(images * folds / counts.sum(0) - 1).max(1)
    order = np.random.default_rng(seed).permutation(folds)
    order = order[np.argsort(np.round(unlike[order], 1), kind="stable")]
    return np.asarray(np.argsort(order)[fold])


def uneven_parts(index: pd.DataFrame, split: Split) -> list[str]:
    """A line for the test part and for each fold that has a class much more or less often than the whole set, or many
    more or fewer images than it should."""
    part = index["fold"].map(lambda fold: "test" if fold < 0 else f"fold {fold}")
    counts = pd.crosstab(part, index["label"], dropna=False)
    shares = counts.div(counts.sum(axis=1), axis=0)
    usual = index["label"].value_counts(normalize=True)
    first = int(split.val == "provided")
    dealt = (index["fold"] >= first).sum() / (split.folds - first)
    lines = []
    for name, row in shares.iterrows():
        expected = dealt if name != "test" else len(index) * split.test if split.method == "grouped" else None
        images = int(counts.loc[name].sum())
        label = (row - usual).abs().idxmax()
        if abs(row[label] - usual[label]) > UNLIKE_CLASSES:
            lines.append(
                f"{name}: {row[label]:.0%} of its {images} images are {label}; of all images, {usual[label]:.0%}"
            )
        if expected and abs(images / expected - 1) > UNLIKE_SIZE:
            lines.append(f"{name}: {images} images; an even split would give it {expected:.0f}")
    return lines


def _enough_groups(table: pd.DataFrame, split: Split) -> None:
    parts = split.folds + 1
    groups_of = (table > 0).sum()
    poor = {str(label): int(n) for label, n in groups_of.items() if n < parts}
    if poor:
        numbers = ", ".join(f"{label} has {n}" for label, n in poor.items())
        fewest = min(poor.values())
        advice = f"Set folds to at most {fewest - 1}, or add" if fewest > 2 else "Add"
        raise UserError(
            f"{SECTION}.folds: {split.folds} folds and a test part need {parts} groups (patients, joined where they "
            f"share a picture) of every class, but {numbers}. {advice} images of other patients, or join classes."
        )


def _every_class_everywhere(index: pd.DataFrame, split: Split) -> None:
    part = index["fold"].map(lambda fold: "test" if fold < 0 else f"fold {fold}")
    table = pd.crosstab(part, index["label"], dropna=False)
    table = table.reindex([*(f"fold {k}" for k in range(split.folds)), "test"], fill_value=0)
    if (table == 0).any(axis=None):
        raise UserError(
            f"{SECTION}: every part needs images of every class, to learn from or to evaluate on. Images per part and "
            f"class:\n{table.rename_axis(None).rename_axis(None, axis=1).to_string()}\n"
            "Use fewer folds, another test share or seed, or more patients."
        )
