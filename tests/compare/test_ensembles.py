"""Means over the probabilities of several models."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from stages.compare.numbers import ensembles
from stages.compare.numbers.draws import Draws
from stages.shared.core.judging import Judging
from stages.shared.core.paths import Key
from stages.shared.measures import MEASURES
from stages.shared.measures.judge import Resampling, judge
from stages.shared.tasks import classification

TASK, CLASSES = MEASURES["classification"], ["healthy", "ill"]
SKILL = {"weak": (0.1, 3.0), "good": (2.5, 1.5), "other": (2.4, 1.5)}  # on the validation and on the test images


def study() -> tuple[list[SimpleNamespace], Draws]:
    """Two seeds each of three strategies; the weak one of validation is by far the best on the test images."""
    rng, n = np.random.default_rng(0), 120
    truth, members = np.tile([0, 1], n), []
    split = np.repeat(["val", "test"], n)
    index = pd.DataFrame(
        {"path": [f"{i:03}" for i in range(2 * n)], "label": pd.Categorical.from_codes(truth, CLASSES), "split": split,
         "patient": [f"p{i}" for i in range(2 * n)], "group": range(2 * n)}
    )  # fmt: skip
    for name, skill in SKILL.items():
        for seed in (0, 1):
            odds = np.where(split == "val", *skill) * (truth - 0.5) + rng.normal(size=2 * n)
            probability = 1 / (1 + np.exp(-odds))
            table = classification.predictions(index, np.stack([1 - probability, probability], axis=1), CLASSES)
            table = table.assign(**{f"calibrated_{c}": table[f"prob_{c}"] ** 2 for c in CLASSES})
            numbers = judge(table, TASK, Resampling(200, 0.95, 0))
            key = Key("cnn", name, f"full_{seed}")
            members.append(
                SimpleNamespace(
                    key=key, kind="model", summary={"sample": {"seed": seed, "fold": 0, "fraction": 1.0}},
                    metrics={**numbers.numbers, "settings": Judging().model_dump()}, draws=numbers.draws,
                    test=table[table["split"] == "test"], validation=table[table["split"] == "val"],
                    value=lambda split, metric, own=numbers.numbers: own[split][metric],
                )
            )  # fmt: skip
    drawn = np.array([m.draws["auroc"].to_numpy(float) for m in members])
    point = np.array([m.metrics["test"]["auroc"]["value"] for m in members])
    return members, Draws(point, drawn, n, 0.95, TASK.metrics["auroc"])


@pytest.fixture
def found() -> tuple[list[ensembles.Ensemble], list[SimpleNamespace], Draws]:
    members, draws = study()
    return ensembles.ensembles(members, draws, "auroc", TASK), members, draws


def test_validation_alone_says_what_the_top_is(found):
    top, *repeats = found[0]
    assert [found[1][i].key.strategy for i in top.parts] == ["good", "good", "other", "other"]
    assert {e.kind for e in repeats} == {"seeds"}
    assert [e.parts for e in repeats] == [(0, 1), (2, 3), (4, 5)]


def test_an_ensemble_is_the_mean_of_calibrated_probabilities(found):
    for ensemble in found[0]:
        tests = [found[1][i].test for i in ensemble.parts]
        mean = np.mean([test["calibrated_ill"] for test in tests], axis=0)
        assert ensemble.test["prob_ill"].to_numpy() == pytest.approx(mean)
        assert ensemble.metrics["auroc"]["value"] == pytest.approx(roc_auc_score(tests[0]["label"] == "ill", mean))
        assert len(ensemble.drawn["auroc"]) == 200


@pytest.mark.parametrize("kind", ["seeds", "folds"])
def test_its_operating_point_is_chosen_on_validation(found, kind):
    """Of folds on what each member says of the images that validate it, here the halves."""
    parts = found[1][2:4]
    if kind == "folds":
        for m, half in zip(parts, (0, 1), strict=True):
            m.validation = m.validation[m.validation["group"] % 4 // 2 == half]
    table = ensembles.predictions(parts, kind, TASK)
    if kind == "folds":
        own = pd.concat([m.validation for m in parts])
        score, ill = own["calibrated_ill"], own["label"] == "ill"
    else:
        score = np.mean([m.validation["calibrated_ill"] for m in parts], axis=0)
        ill = parts[0].validation["label"] == "ill"
    fpr, tpr, _ = roc_curve(ill, score)
    (threshold,) = table["threshold"].unique()
    called = score > threshold
    assert called[ill].mean() - called[~ill].mean() == pytest.approx((tpr - fpr).max())
    assert ((table["prob_ill"] > threshold) == (table["predicted"] == "ill")).all()


def test_an_ensemble_is_compared_with_its_best_member_on_validation(found):
    pools, members, draws = found
    rows = ensembles.table(pools, members, draws, "auroc")
    for row, ensemble in zip(rows.to_dict("records"), pools, strict=True):
        assert members[ensemble.best].value("val", "auroc") == max(
            members[i].value("val", "auroc") for i in ensemble.parts
        )
        assert row["difference"] == pytest.approx(row["value"] - row["best_value"])
        assert row["low"] < row["difference"] < row["high"]


def test_repeats_over_folds_are_pooled(monkeypatch):
    members, draws = study()
    for m, fold in zip(members[:2], (0, 1), strict=True):
        m.summary["sample"] |= {"seed": 0, "fold": fold}
    monkeypatch.setattr(ensembles, "top", lambda *_: [])
    named = {name: parts for name, _, parts in ensembles.groups(members, [0, 1], draws, "auroc", TASK)}
    assert named["cnn-weak-full_0-folds"] == [0, 1]


def test_models_without_calibrated_probabilities_are_not_pooled():
    members, draws = study()
    for m in members:
        m.test = m.test.drop(columns=["calibrated_healthy", "calibrated_ill"])
    assert ensembles.ensembles(members, draws, "auroc", TASK) == []
