"""Folds of one training, pooled."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from stages.compare.numbers.pooled import groups, pooled
from stages.shared.core.paths import Key
from stages.shared.measures import MEASURES
from stages.shared.measures.statistics import once
from stages.shared.tasks import classification

TASK, CLASSES, FOLDS = MEASURES["classification"], ["normal", "sick"], 3


@pytest.fixture(scope="module")
def planted():
    """(index, features, labels) of 120 patients with two images; the last 20 patients are the test part."""
    rng, patients = np.random.default_rng(0), 120
    group, label = np.repeat(np.arange(patients), 2), np.repeat(rng.permutation(patients) % 2, 2)
    fold = np.where(group >= 100, -1, group % FOLDS)
    index = pd.DataFrame({
        "path": [f"{i}.png" for i in range(len(group))], "patient": group.astype(str), "group": group,
        "label": pd.Categorical.from_codes(label, CLASSES), "fold": fold,
        "split": np.where(fold < 0, "test", "train"),
    })  # fmt: skip
    return index, label[:, None] + rng.normal(0, 1, (len(label), 3)), label


def member(fold, index, x, y, seed=0):
    model = LogisticRegression().fit(
        x[(index.fold >= 0) & (index.fold != fold)], y[(index.fold >= 0) & (index.fold != fold)]
    )
    rows = index[index.fold.isin([fold, -1])]
    table = classification.predictions(rows, model.predict_proba(x[rows.index]), CLASSES)
    val, test = (table[table.split == split].reset_index(drop=True) for split in ("val", "test"))
    values = {s: float(TASK.compute(t, once(len(t)))["auroc"][0]) for s, t in (("val", val), ("test", test))}
    return SimpleNamespace(
        key=Key("lr", "plain", f"fold_{fold}_{seed}"), kind="model", validation=val,
        metrics={"bootstrap": 400, "confidence": 0.95, "seed": 0},
        summary={"sample": {"fraction": 1.0, "per_class": None, "fold": fold, "seed": seed}},
        value=lambda split, metric: values[split],
    )  # fmt: skip


def test_the_pooled_score_is_that_of_cross_val_predict(planted):
    index, x, y = planted
    (row,) = pooled([member(k, index, x, y) for k in range(FOLDS)], index, TASK, "auroc").to_dict("records")
    outside = (index.fold >= 0).to_numpy()
    split = PredefinedSplit(index.fold[outside])
    expected = cross_val_predict(LogisticRegression(), x[outside], y[outside], cv=split, method="predict_proba")[:, 1]
    assert row["value"] == pytest.approx(roc_auc_score(y[outside], expected))
    each = [roc_auc_score(y[outside][own], expected[own]) for _, own in split.split()]
    assert [row["fold_mean"], row["fold_sd"]] == pytest.approx([np.mean(each), np.std(each, ddof=1)])
    assert (row["folds"], row["folds_in_all"]) == (FOLDS, FOLDS)
    assert row["images"] == row["images_in_all"] == outside.sum()
    assert row["value_low"] < row["value"] < row["value_high"]


def test_only_folds_of_one_training_are_pooled(planted):
    index, x, y = planted
    members = [member(0, index, x, y), member(1, index, x, y, seed=1)]
    assert list(groups(members)) == []
    assert pooled(members, index, TASK, "auroc").empty
    members += [member(1, index, x, y), member(0, index, x, y)]
    ((first, second),) = groups(members)
    assert first is members[0]
    assert second is members[2]
