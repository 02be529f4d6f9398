"""Nothing leaks: no patient and no picture lies on both sides of a split, whatever the set looks like."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stages.preprocess.params import Split
from stages.preprocess.split import assign, uneven_parts
from stages.shared.core.errors import UserError
from stages.shared.core.groups import groups


def test_groups_join_patients_through_duplicates_of_a_picture():
    patients = pd.Series(["a", "a", "b", "c", "d", "e", "e"])
    cluster = pd.Series([0, 1, 1, 2, 3, 2, 9])  # a-b share picture 1; c-e share picture 2
    assert groups(patients, cluster).tolist() == [0, 0, 0, 1, 2, 1, 1]


def reachable(manifest: pd.DataFrame) -> list[set[int]]:
    """Rows that must stay together, found by walking from row to row: slow, and independent of the code."""
    left, parts = set(range(len(manifest))), []
    patient, cluster = manifest["patient"].to_numpy(), manifest["cluster"].to_numpy()
    while left:
        part, edge = set(), {min(left)}
        while edge:
            part |= edge
            near = np.isin(patient, patient[list(edge)]) | np.isin(cluster, cluster[list(edge)])
            edge = set(np.flatnonzero(near).tolist()) - part
        parts.append(part)
        left -= part
    return parts


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [2, 4])
def test_no_patient_and_no_picture_crosses_and_every_class_is_everywhere(make_manifest, seed: int, classes: int):
    manifest = make_manifest(seed, classes)
    index = assign(manifest, Split(seed=seed, folds=4, test=0.2))
    fold = index["fold"].to_numpy()
    for part in reachable(manifest):
        rows = sorted(part)
        assert len(set(fold[rows])) == 1
        assert index["group"].iloc[rows].nunique() == 1
    for column in ("patient", "cluster"):
        assert (index.assign(cluster=manifest["cluster"]).groupby(column)["split"].nunique() == 1).all()
    assert index["path"].tolist() == manifest["path"].tolist()
    assert ((index["split"] == "val") == (fold == 0)).all()
    assert ((index["split"] == "test") == (fold == -1)).all()
    assert (pd.crosstab(fold, index["label"]) > 0).all(axis=None)
    assert set(fold) == {-1, 0, 1, 2, 3}


def test_shares_and_classes_are_met(make_manifest):
    manifest = make_manifest(0, 2, patients=600)
    index = assign(manifest, Split(test=0.15, folds=5))
    part = pd.crosstab(index["fold"], index["label"], normalize="columns")
    assert (part.loc[-1] - 0.15).abs().max() < 0.02
    assert (part.drop(-1) - 0.17).abs().max(axis=None) < 0.02


def test_another_number_of_folds_leaves_the_test_part_alone(make_manifest):
    manifest = make_manifest(1)
    three, six = assign(manifest, Split(folds=3)), assign(manifest, Split(folds=6))
    assert ((three["split"] == "test") == (six["split"] == "test")).all()


def provided(manifest: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """A clean provided split: whole groups go to test, the others to train with a tiny val."""
    group = groups(manifest["patient"], manifest["cluster"])
    test = np.random.default_rng(seed).random(group.max() + 1) < 0.3
    part = np.where(test[group], "test", "train")
    part[np.flatnonzero(~test[group])[:3]] = "val"
    return manifest.assign(provided_split=part)


def test_provided_test_is_the_test_and_train_and_val_are_dealt_anew(make_manifest):
    manifest = provided(make_manifest(2))
    index = assign(manifest, Split(method="provided", folds=3))
    assert ((index["split"] == "test") == (manifest["provided_split"] == "test")).all()
    assert (index["split"] == "val").mean() > 0.15, "not the three images of the provided val"
    assert index.groupby("patient")["fold"].nunique().max() == 1


def test_a_provided_split_that_a_patient_crosses_names_patient_and_files(make_manifest):
    manifest = provided(make_manifest(2))
    many = manifest["patient"].value_counts().index[0]
    rows = manifest.index[manifest["patient"] == many]
    manifest.loc[rows, "provided_split"] = "train"
    manifest.loc[rows[0], "provided_split"] = "test"
    with pytest.raises(UserError) as caught:
        assign(manifest, Split(method="provided"))
    assert "repair: true" in str(caught.value)
    assert "method to grouped" in str(caught.value)
    assert manifest["path"][rows[0]] in str(caught.value)


def test_a_provided_validation_part_is_fold_0_and_the_other_folds_are_dealt_from_train(make_manifest):
    manifest = make_manifest(2)
    group = groups(manifest["patient"], manifest["cluster"])
    part = np.random.default_rng(1).choice(["train", "val", "test"], group.max() + 1, p=[0.6, 0.2, 0.2])
    manifest = manifest.assign(provided_split=part[group])
    index = assign(manifest, Split(method="provided", val="provided", folds=4))
    assert (index["split"] == manifest["provided_split"]).all()
    assert set(index["fold"][index["split"] == "val"]) == {0}
    assert set(index["fold"][index["split"] == "train"]) == {1, 2, 3}
    with pytest.raises(UserError, match=r"split.val: provided, but .* no images of a validation part"):
        assign(manifest.replace({"provided_split": {"val": "train"}}), Split(method="provided", val="provided"))


@pytest.mark.parametrize("change", [{"repair": True}, {"val": "provided"}])
def test_settings_of_a_provided_split_are_refused_where_the_split_is_dealt(change: dict):
    with pytest.raises(ValueError, match=r"the set's own split. Set method: provided"):
        Split(**change)


def test_a_provided_split_that_is_not_there_says_where_to_set_it(make_manifest):
    with pytest.raises(UserError, match=r"validate.provided_split"):
        assign(make_manifest(0), Split(method="provided"))


def small(patients: dict[str, int], images: int = 2) -> pd.DataFrame:
    rows = [(f"{c}{p}", c) for c, n in patients.items() for p in range(n) for _ in range(images)]
    return pd.DataFrame({
        "path": [f"{i:03d}.png" for i in range(len(rows))],
        "label": pd.Categorical([c for _, c in rows], categories=list(patients)),
        "patient": [p for p, _ in rows],
        "has_mask": False,
        "site": None,
        "provided_split": None,
        "cluster": range(len(rows)),
    })  # fmt: skip


def test_fewer_patients_than_folds_says_how_many_there_are_and_what_would_do():
    with pytest.raises(UserError, match=r"split.folds: 5 folds and a test part need 6 groups.*sick has 4.*at most 3"):
        assign(small({"well": 20, "sick": 4}), Split(folds=5))
    with pytest.raises(UserError, match=r"sick has 2\. Add images of other patients"):
        assign(small({"well": 20, "sick": 2}), Split(folds=2))


def test_as_many_patients_as_parts_is_enough():
    index = assign(small({"well": 20, "sick": 6}), Split(folds=5))
    assert (pd.crosstab(index["fold"], index["label"]) > 0).all(axis=None)


def test_a_class_missing_from_a_part_is_refused_with_the_table_of_counts():
    manifest = small({"well": 20, "sick": 12})
    manifest["provided_split"] = np.where(manifest["patient"].isin(["well1", "well2"]), "test", "train")
    with pytest.raises(UserError) as caught:
        assign(manifest, Split(method="provided", folds=2))
    message = str(caught.value)
    assert "every part needs images of every class" in message
    assert [line.split() for line in message.splitlines() if line.startswith("test")] == [["test", "4", "0"]]


@pytest.mark.filterwarnings("error")
def test_a_class_that_is_in_the_provided_test_part_alone_is_refused_without_a_warning():
    manifest = small({"well": 20, "sick": 12})
    manifest["provided_split"] = np.where(manifest["patient"].str.startswith("sick"), "test", "train")
    with pytest.raises(UserError, match=r"(?s)every part needs images of every class.*fold 0 +\d+ +0"):
        assign(manifest, Split(method="provided", folds=2))


def test_a_class_that_is_gone_altogether_is_refused():
    manifest = small({"well": 20, "sick": 12})
    with pytest.raises(UserError, match="sick has 0"):
        assign(manifest[manifest["label"] == "well"].reset_index(drop=True), Split())


def of_sizes(sizes: dict[str, list[int]]) -> pd.DataFrame:
    """For each class, one patient per entry with so many images."""
    rows = [(f"{c}{p}", c) for c, patients in sizes.items() for p, n in enumerate(patients) for _ in range(n)]
    table = small(dict.fromkeys(sizes, 1))
    return pd.DataFrame({
        "path": [f"{i:04d}.png" for i in range(len(rows))],
        "label": pd.Categorical([c for _, c in rows], dtype=table["label"].dtype),
        "patient": [p for p, _ in rows],
        "has_mask": False,
        "site": None,
        "provided_split": None,
        "cluster": range(len(rows)),
    })  # fmt: skip


def test_the_largest_patient_is_not_always_in_the_same_part() -> None:
    manifest = of_sizes({"well": [12, *[2] * 60], "sick": [9, *[2] * 50]})
    parts = []
    for seed in range(12):
        index = assign(manifest, Split(seed=seed))
        parts.append(index["split"][index["patient"] == "well0"].iloc[0])
        assert uneven_parts(index, Split(seed=seed)) == []
    assert {"train", "val"} <= set(parts)
    assert parts.count("train") > 4


def test_a_patient_with_a_fifth_of_all_images_is_trained_on_and_its_fold_is_named() -> None:
    manifest = of_sizes({"well": [2] * 100, "sick": [100, *[2] * 100]})
    for seed in range(5):
        split = Split(seed=seed)
        index = assign(manifest, split)
        assert set(index["split"][index["patient"] == "sick0"]) == {"train"}
        validated = index[index["split"] == "val"]
        assert (validated["label"] == "sick").mean() == pytest.approx(0.6, abs=0.1)
        fold = index["fold"][index["patient"] == "sick0"].iloc[0]
        lines = uneven_parts(index, split)
        assert [line.split(":")[0] for line in lines] == [f"fold {fold}"] * len(lines)
        assert lines


def test_a_rare_class_that_can_be_everywhere_is_everywhere() -> None:
    """Six patients have it, for a test part and five folds; two of them have most images of the set."""
    manifest = pd.concat([
        of_sizes({"well": [1] * 10, "sick": [1] * 6}),
        of_sizes({"well": [30, 28, 3, 2, 1, 1], "sick": []}).assign(patient=lambda t: t["patient"].str.replace("well", "sick")),
    ]).reset_index(drop=True).assign(cluster=lambda t: range(len(t)))  # fmt: skip
    for seed in range(5):
        index = assign(manifest, Split(seed=seed))
        assert (pd.crosstab(index["fold"], index["label"]) > 0).all(axis=None)
