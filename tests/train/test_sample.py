import itertools

import numpy as np
import pandas as pd
import pytest

from stages.shared.arrays.arrays import load_arrays
from stages.shared.core.errors import UserError
from stages.train.params.sample import Sample
from stages.train.sample import select


@pytest.fixture
def index(processed) -> pd.DataFrame:
    return load_arrays().index


def test_validation_is_the_fold_and_the_test_rows_are_never_touched(index):
    rows = select(index, Sample(fold=2))
    assert set(index.iloc[rows.validation]["fold"]) == {2}
    assert set(index.iloc[rows.train]["fold"]) == {0, 1, 3}


def test_a_smaller_fraction_lies_inside_a_larger_one_with_the_same_seed(index):
    parts = [set(select(index, Sample(fraction=f, seed=3)).train) for f in (0.1, 0.3, 0.6, 1.0)]
    assert all(small < large for small, large in itertools.pairwise(parts))


def test_another_seed_takes_other_patients(index):
    first, second = (set(select(index, Sample(fraction=0.3, seed=s)).train) for s in (0, 1))
    assert first != second


def test_patients_are_taken_whole_and_classes_in_proportion(index):
    train = select(index, Sample(fraction=0.5)).train
    part = index.iloc[train]
    assert (part.groupby("patient").size() == 2).all()
    shares = part["label"].value_counts() / index.loc[index["fold"] > 0, "label"].value_counts()
    assert shares.tolist() == pytest.approx([0.5, 0.5], abs=0.05)


def test_the_smallest_fraction_still_has_every_class(index):
    train = select(index, Sample(fraction=0.001)).train
    assert set(index.iloc[train]["label"]) == {"normal", "sick"}


def test_a_fold_that_does_not_exist_lists_those_that_do(index):
    with pytest.raises(UserError, match="fold 7 does not exist; .* 0, 1, 2, 3"):
        select(index, Sample(fold=7))


def test_a_class_without_training_images_is_named(index):
    gone = index[(index["label"] == "normal") | (index["fold"] <= 0)].reset_index(drop=True)
    with pytest.raises(
        UserError, match="all images of sick that could train lie in validation or test. Take another fold"
    ):
        select(gone, Sample())


def test_images_per_class_are_taken_in_whole_patients_and_smaller_samples_lie_inside_larger_ones(index):
    parts = [select(index, Sample(per_class=n, seed=1)).train for n in (5, 10, 20)]
    counts = [index.iloc[part]["label"].value_counts().tolist() for part in parts]
    assert counts == [[6, 6], [10, 10], [20, 20]]  # two images a patient
    assert set(parts[0]) < set(parts[1]) < set(parts[2])


def test_images_of_other_classes_do_not_count_for_the_class_of_their_patient():
    """Every sick patient has three sick films and two normal ones."""
    patients = [(f"s{i}", ["sick"] * 3 + ["normal"] * 2) for i in range(8)] + [
        (f"n{i}", ["normal"] * 5) for i in range(8)
    ]
    rows = [(number, label) for number, (_, labels) in enumerate(patients) for label in labels]
    index = pd.DataFrame(rows, columns=["group", "label"]).astype({"label": pd.CategoricalDtype(["normal", "sick"])})
    index["fold"] = index["group"] % 4
    train = select(index, Sample(per_class=10, seed=0)).train
    taken = index.iloc[train]
    assert (taken["label"] == "sick").sum() == 12  # four patients; with three there are nine


def test_more_images_per_class_than_there_are_says_how_many_there_are(index):
    with pytest.raises(UserError, match=r"per_class: 500, but normal has \d+ images"):
        select(index, Sample(per_class=500))


def test_two_sizes_of_one_sample_are_refused():
    with pytest.raises(ValueError, match="both say how many"):
        Sample(fraction=0.5, per_class=10)


def test_images_that_the_task_cannot_use_neither_train_nor_validate(index):
    usable = np.arange(len(index)) % 3 != 0
    for fraction in (0.3, 1.0):
        rows = select(index, Sample(fraction=fraction), usable)
        assert usable[rows.train].all()
        assert usable[rows.validation].all()
    assert set(rows.train) == set(np.flatnonzero(usable & (index["fold"] > 0)))
    count = index.iloc[select(index, Sample(per_class=6), usable).train]["label"].value_counts()
    assert (count >= 6).all()
    assert (count <= 7).all()


def test_a_class_without_any_usable_image_is_none_of_the_tasks_business(index):
    usable = (index["label"] == "sick").to_numpy()
    rows = select(index, Sample(per_class=4), usable)
    assert set(index.iloc[rows.train]["label"]) == {"sick"}
    assert len(rows.train) == 4


def test_a_class_whose_annotated_images_all_validate_or_test_asks_for_another_fold_not_for_a_larger_fraction(index):
    usable = ((index["label"] == "normal") | (index["fold"] <= 0)).to_numpy()
    for sample in (Sample(), Sample(per_class=4)):
        with pytest.raises(UserError, match=r"sick .*validation or test. Take another fold .* annotated") as error:
            select(index, sample, usable)
        assert "fraction" not in str(error.value)


def test_no_usable_image_at_all_says_where_masks_are_set(index):
    with pytest.raises(UserError, match=r"can use none of 80 images\. .* validate\.mask"):
        select(index, Sample(), np.zeros(len(index), bool))


def test_a_test_part_without_a_usable_image_stops_before_the_training(index):
    with pytest.raises(UserError, match=r"none of the test images.* validate\.mask"):
        select(index, Sample(), (index["split"] != "test").to_numpy())


@pytest.fixture
def two_sites(index) -> pd.DataFrame:
    """Patients by turns: pairs of a normal and a sick one; the first of a fold's are at A."""
    return index.assign(site=np.where(index["group"] // 2 % 3 == 0, "A", "B"))


def test_a_site_trains_and_validates_alone(two_sites):
    for site in ("A", "B"):
        rows = select(two_sites, Sample(site=site))
        for part in (rows.train, rows.validation):
            assert set(two_sites["site"].iloc[part]) == {site}
            assert set(two_sites["label"].iloc[part]) == {"normal", "sick"}


def test_an_unknown_site_is_named_with_those_there_are(index, two_sites):
    with pytest.raises(UserError, match=r"sample.site: 'C' is not known\. Valid: A, B"):
        select(two_sites, Sample(site="C"))
    with pytest.raises(UserError, match="the images have no sites. Set validate.site"):
        select(index, Sample(site="A"))


def test_a_fold_without_images_of_the_site_is_named_with_those_that_have_some(two_sites):
    lonely = two_sites.assign(site=np.where(two_sites["fold"] == 2, "A", "B"))
    with pytest.raises(UserError, match=r"fold 1 has no image at site A .*Folds with one: 2"):
        select(lonely, Sample(site="A", fold=1))


def test_all_sites_but_one_train_and_validate_and_the_test_rows_are_those_of_all(two_sites):
    rows = select(two_sites, Sample(leave_out="A"))
    alone = select(two_sites, Sample(site="B"))
    assert np.array_equal(rows.train, alone.train)
    assert np.array_equal(rows.validation, alone.validation)
    unknown = two_sites.assign(site=two_sites["site"].where(two_sites["group"] % 7 != 0, None))
    assert not unknown["site"].iloc[select(unknown, Sample(leave_out="A")).train].isna().any()
    with pytest.raises(UserError, match=r"sample.leave_out: 'C' is not known\. Valid: A, B"):
        select(two_sites, Sample(leave_out="C"))
    with pytest.raises(ValueError, match="both say at which sites"):
        Sample(site="A", leave_out="B")
