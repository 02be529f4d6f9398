"""Rows of the manifest -> group, fold and split of each, or an error that says why that cannot be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..shared.core.errors import UserError
from ..shared.core.paths import MANIFEST, PARAMS
from .params import Split

SECTION = f"{PARAMS}: preprocess.split"


def assign(rows: pd.DataFrame, split: Split) -> pd.DataFrame:
    """path, label, patient, group, split, fold: in the order of `rows`, which have no quarantined image.

    Raises: UserError: fewer groups than folds, a part without images of a class, a provided split that is
        missing, has no test part, or divides a group.
    """
    index = rows[["path", "label", "patient"]].reset_index(drop=True)
    index["group"] = groups(rows["patient"], rows["cluster"])
    table = pd.crosstab(index["group"], index["label"], dropna=False)  # images of each class in each group
    _enough_groups(table, split)
    if split.method == "provided":
        held_out = _provided_test(index, rows)
    else:
        held_out = deal(table.to_numpy(), [split.test, 1 - split.test], split.seed) == 0
    fold = np.full(len(table), -1, np.int64)
    fold[~held_out] = deal(table[~held_out].to_numpy(), [1 / split.folds] * split.folds, split.seed)
    index["split"] = np.where(held_out, "test", np.where(fold == 0, "val", "train"))[index["group"]]
    index["fold"] = fold[index["group"]]
    _every_class_everywhere(index, split)
    return index


def groups(patients: pd.Series, clusters: pd.Series) -> np.ndarray:
    """int64, one per image, in order of first appearance: what must stay together. These are all images of a patient
    and all duplicates of a picture, under any patient's name.

    Images are the edges of a graph between patients and clusters; a group is a connected part of it.
    """
    patient, cluster = pd.factorize(patients)[0], pd.factorize(clusters)[0]
    clusters_from = patient.max() + 1
    nodes = clusters_from + cluster.max() + 1
    edges = (np.ones(len(patient), bool), (patient, clusters_from + cluster))
    part = connected_components(coo_array(edges, shape=(nodes, nodes)), directed=False)[1][patient]
    return np.asarray(pd.factorize(part)[0])


def deal(counts: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """int64 G: the part of each group, so that every part has the classes in the same proportion.

    scikit-learn's StratifiedGroupKFold deals into equal parts only; a test part of any share needs this. On equal parts
    the tests hold it against scikit-learn's.

    `counts`: int G×K, images of each class in each group. `shares`: P, they sum to 1. Large groups go first,
    each to the part where it does most to bring every class to its target (least sum of squared distance over
    target); `seed` decides between groups of one size.
    """
    counts = np.asarray(counts, np.float64)
    totals = counts.sum(0)
    target = np.outer(shares, totals)  # P×K
    weight = 1 / np.maximum(target * totals, 1e-12)  # a rare class counts as much as a frequent one
    part, filled = np.empty(len(counts), np.int64), np.zeros_like(target)
    shuffled = np.random.default_rng(seed).permutation(len(counts))
    for g in shuffled[np.argsort(-counts[shuffled].sum(1), kind="stable")]:
        cost = (counts[g] * (counts[g] + 2 * (filled - target)) * weight).sum(1)  # P: change of the squared distance
        part[g] = int(np.argmin(cost))
        filled[part[g]] += counts[g]
    return part


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


def _provided_test(index: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """bool, one per group."""
    provided = rows["provided_split"].reset_index(drop=True)
    if not (provided == "test").any() or not provided.isin(["train", "val"]).any():
        raise UserError(
            f"{SECTION}.method: provided, but {MANIFEST} lacks images of the test part or of the others. "
            f"Set {PARAMS}: validate.provided_split, e.g. {{train: 'train/**', test: 'test/**'}}, or this to grouped."
        )
    test = provided == "test"
    share = test.groupby(index["group"]).mean()
    crossing = share[(share > 0) & (share < 1)].index
    if len(crossing):
        lines = [
            f"{SECTION}.method: provided, but {len(crossing)} groups (a patient, or duplicates of a picture) have "
            "images on both sides of the set's own split, which would leak. Set it to grouped, or leave these out:"
        ]
        first = index.groupby(["group", test])[["patient", "path"]].first()
        for group in crossing[:5]:
            inside, outside = first.loc[(group, True)], first.loc[(group, False)]
            lines.append(f"  patient {inside['patient']}: {inside['path']} (test) and {outside['path']}")
        raise UserError("\n".join(lines + ["  …"] * (len(crossing) > 5)))
    return np.asarray(share == 1)


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
