"""Whatever patients, classes, sites and duplicates a set has: what a split promises holds, or an error says why not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.preprocess.card import card, overlaps
from stages.preprocess.params import Split
from stages.preprocess.split import assign
from stages.shared.core.errors import UserError
from stages.train.params.sample import Sample
from stages.train.sample import select

CLASSES = ["a", "b", "c"]


@st.composite
def manifests(draw: st.DrawFn) -> pd.DataFrame:
    """6 to 40 patients with 1 to 8 images each, now and then one with many more; two or three classes, some patients with
    several; up to three sites; pictures that several patients share; any provided split."""
    patients = draw(st.integers(6, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    images = rng.integers(1, draw(st.integers(2, 9)), patients)
    if draw(st.booleans()):
        images[rng.integers(patients)] = images.sum()  # one patient with half of all images
    patient = np.repeat(np.arange(patients), images)
    classes = draw(st.integers(2, 3))
    usual = rng.choice(classes, patients)
    label = np.where(rng.random(len(patient)) < 0.9, usual[patient], rng.integers(0, classes, len(patient)))
    cluster = np.arange(len(patient))
    for one, other in rng.integers(0, len(patient), (draw(st.integers(0, 6)), 2)):
        cluster[cluster == cluster[other]] = cluster[one]
    sites = draw(st.integers(1, 3))
    return pd.DataFrame({
        "path": [f"{i:04d}.png" for i in rng.permutation(len(patient))],
        "label": pd.Categorical.from_codes(label, CLASSES[:classes]),
        "patient": [f"p{p}" for p in patient],
        "site": [f"site{s}" for s in rng.integers(0, sites, patients)[patient]] if sites > 1 else None,
        "has_mask": False,
        "provided_split": rng.choice(["train", "val", "test"], patients, p=[0.6, 0.2, 0.2])[patient],
        "cluster": cluster,
        "sha256": [f"{number:064x}" for number in cluster],
        "quarantined": False,
    })  # fmt: skip


def component(manifest: pd.DataFrame) -> np.ndarray:
    """The number of each row's group: the smallest row that can be reached over patients and pictures. Spread until
    nothing changes; independent of the code."""
    number = np.arange(len(manifest))
    while True:
        before = number
        for column in ("patient", "cluster"):
            number = pd.Series(number).groupby(manifest[column].to_numpy()).transform("min").to_numpy()
        if np.array_equal(before, number):
            return number


def split_of(manifest: pd.DataFrame, split: Split) -> pd.DataFrame | None:
    """None where the set has too few groups: then the error counts those of each class, or says what is missing."""
    try:
        return assign(manifest, split)
    except UserError as error:
        message = str(error)
    expected = ["need", "lacks images of the test part", "no images of a validation part", "is left to train on"]
    assert any(text in message for text in expected), message
    return None


@settings(max_examples=20, deadline=None)
@given(manifest=manifests(), folds=st.integers(2, 5), test=st.sampled_from([0.15, 0.2, 0.3]), seed=st.integers(0, 9))
def test_no_group_is_divided_every_class_is_everywhere_and_only_the_seed_decides(manifest, folds, test, seed):
    split = Split(folds=folds, test=test, seed=seed)
    index = split_of(manifest, split)
    if index is None:
        groups = pd.DataFrame({"group": component(manifest), "label": manifest["label"]}).drop_duplicates()
        assert groups["label"].value_counts().min() < 2 * (folds + 1), "refused although there are plenty"
        return
    group = component(manifest)
    assert (index.groupby(group)["fold"].nunique() == 1).all()
    assert (index.groupby(group)["group"].nunique() == 1).all()
    assert set(index["fold"]) == set(range(-1, folds))
    assert (index["split"] == index["fold"].map(lambda k: {-1: "test", 0: "val"}.get(k, "train"))).all()
    assert (pd.crosstab(index["fold"], index["label"]) > 0).all(axis=None)
    assert overlaps(card(index, manifest, split)) == 0

    pd.testing.assert_frame_equal(index, assign(manifest, split))
    names = np.random.default_rng(seed).permutation(len(manifest))
    renamed = manifest.assign(
        path=[f"{name:05d}" for name in names],
        patient="id-"
        + manifest["patient"].map(dict(zip(manifest["patient"].unique(), names, strict=False))).astype(str),
    )
    pd.testing.assert_frame_equal(assign(renamed, split)[["group", "split", "fold"]], index[["group", "split", "fold"]])


@settings(max_examples=15, deadline=None)
@given(images=st.lists(st.integers(1, 12), min_size=30, max_size=60), folds=st.integers(2, 5), seed=st.integers(0, 9))
def test_no_part_is_further_from_its_share_than_the_largest_group_forces(images, folds, seed):
    patient = np.repeat(np.arange(len(images)), images)
    manifest = pd.DataFrame({
        "path": [f"{i:04d}" for i in range(len(patient))],
        "label": pd.Categorical.from_codes(patient % 2, ["a", "b"]),
        "patient": patient.astype(str), "site": None, "has_mask": False, "cluster": range(len(patient)),
    })  # fmt: skip
    index = assign(manifest, Split(folds=folds, seed=seed))
    sizes = index["fold"].value_counts()
    assert abs(sizes[-1] - 0.2 * len(index)) <= max(images)
    assert (sizes.drop(-1) - 0.8 * len(index) / folds).abs().max() <= 1.5 * max(images)


@settings(max_examples=15, deadline=None)
@given(manifest=manifests(), val=st.sampled_from(["dealt", "provided"]), divide=st.integers(0, 8))
def test_repair_moves_divided_groups_whole_to_where_most_of_their_images_are_and_nothing_else(manifest, val, divide):
    group = component(manifest)
    provided = manifest["provided_split"].groupby(group).transform("first").to_numpy()  # a clean split
    rng = np.random.default_rng(divide)
    provided[rng.integers(0, len(manifest), divide)] = "test"  # and images that cross
    manifest = manifest.assign(provided_split=provided)
    index = split_of(manifest, Split(method="provided", val=val, repair=True, folds=3))
    if index is None:
        return
    part = pd.Series(provided) if val == "provided" else pd.Series(provided).replace("val", "train")
    now = index["split"] if val == "provided" else index["split"].replace("val", "train")
    assert (index.groupby(group)["split"].nunique() == 1).all()
    images = pd.crosstab(group, part)
    own = images.to_numpy()[np.arange(len(images)), images.columns.get_indexer(now.groupby(group).first())]
    assert (own == images.max(axis=1)).all()
    content = card(index, manifest, Split(method="provided", val=val, repair=True, folds=3))
    assert content["moved"]["images"] == (part != now).sum()
    assert overlaps(content) == 0


def test_a_group_with_as_many_images_in_test_as_in_train_leaves_the_test_part(make_manifest):
    manifest = make_manifest(2)
    group = component(manifest)
    test = np.random.default_rng(0).random(len(manifest)) < 0.3
    manifest["provided_split"] = np.where(test[group], "test", "train")
    pair = next(rows for rows in pd.Series(range(len(group))).groupby(group).groups.values() if len(rows) == 2)
    manifest.loc[pair, "provided_split"] = ["test", "train"]
    index = assign(manifest, Split(method="provided", repair=True, folds=3))
    assert (index.loc[pair, "split"] != "test").all()
    with pytest.raises(UserError, match=r"1 groups .* more than one part .*repair: true"):
        assign(manifest, Split(method="provided", folds=3))


def test_the_card_sees_a_leak_of_each_kind(make_manifest):
    manifest = make_manifest(3).assign(sha256=lambda t: [f"{c}" for c in t["cluster"]])
    split = Split(folds=3)
    index = assign(manifest, split)
    assert overlaps(card(index, manifest, split)) == 0
    many = manifest["patient"].value_counts().index[0]
    row = np.flatnonzero(manifest["patient"] == many)[0]
    away = "test" if index["split"][row] != "test" else "train"
    index.loc[row, ["split", "fold"]] = [away, -1 if away == "test" else 1]
    leaks = card(index, manifest, split)["overlap"]
    assert sum(leaks["patients"][name] for name in leaks["patients"] if name != "folds") == 1
    twin = manifest.copy()
    one, other = np.flatnonzero(index["split"] == "train")[0], np.flatnonzero(index["split"] == "val")[0]
    twin.loc[other, "sha256"] = twin["sha256"][one]
    assert card(index, twin, split)["overlap"]["files"]["train, val"] == 1
    assert card(index, twin, split)["overlap"]["pictures"]["train, val"] == 0


def test_the_card_counts_what_a_crosstab_counts_and_says_what_could_not_be_met():
    manifest = pd.DataFrame({
        "path": [f"{i:03d}" for i in range(200)],
        "label": pd.Categorical(["well", "sick"] * 100),
        "patient": ["p0"] * 100 + [f"p{1 + i // 4}" for i in range(100)],
        "site": ["south"] * 198 + ["north"] * 2,
        "has_mask": False, "provided_split": None, "cluster": range(200), "sha256": [f"{i}" for i in range(200)],
    })  # fmt: skip
    split = Split(folds=3)
    index = assign(manifest, split)
    content = card(index, manifest, split)
    for part, own in index.groupby("split"):
        counts = content["parts"][part]
        assert (counts["images"], counts["patients"]) == (len(own), own["patient"].nunique())
        for label in ("well", "sick"):
            assert counts["classes"][label]["images"] == (own["label"] == label).sum()
    assert sum(fold["images"] for fold in content["folds"].values()) == 200
    assert content["largest"]["images"] == 100
    text = "\n".join(content["unmet"])
    assert "Patient p0 has 100 of 200 images, more than an even fold" in text
    assert "no image of site north" in text


@settings(max_examples=10, deadline=None)
@given(manifest=manifests(), seed=st.integers(0, 5))
def test_folds_partition_what_is_not_tested_and_smaller_fractions_lie_in_larger_ones(manifest, seed):
    index = split_of(manifest, Split(folds=3, test=0.2))
    if index is None:
        return
    validated = [select(index, Sample(fold=k)).validation for k in range(3)]
    assert sorted(np.concatenate(validated)) == np.flatnonzero(index["split"] != "test").tolist()
    parts = [select(index, Sample(fraction=f, seed=seed)) for f in (0.2, 0.5, 1.0)]
    for small, large in pairwise(parts):
        assert set(small.train) <= set(large.train)
    for rows in parts:
        assert not set(index["group"].iloc[rows.train]) & set(index["group"].iloc[rows.validation])
        assert set(index["label"].iloc[rows.train]) == set(index["label"])
    assert sorted([*parts[-1].train, *parts[-1].validation]) == np.flatnonzero(index["split"] != "test").tolist()


@settings(max_examples=10, deadline=None)
@given(manifest=manifests())
def test_the_site_that_is_left_out_neither_trains_nor_validates_and_all_others_do(manifest):
    index = split_of(manifest, Split(folds=2, test=0.2))
    if index is None or "site" not in index:
        return
    for site in index["site"].unique():
        expected = index.index[(index["split"] != "test") & (index["site"] != site)]
        part = index.loc[expected]
        train = part[part["fold"] > 0]
        if (part["fold"] > 0).all() or train["label"].nunique() < part["label"].nunique():
            with pytest.raises(UserError, match=f"other than {site}"):
                select(index, Sample(leave_out=site))
            continue
        rows = select(index, Sample(leave_out=site))
        assert sorted([*rows.train, *rows.validation]) == expected.tolist()
