"""Names and params -> label, patient, mask and provided split of every image."""

from __future__ import annotations

import signal

import pytest

from stages.shared.core.errors import UserError
from stages.shared.core.settings import parse
from stages.validate import names as archive_names
from stages.validate.params import Params

CHEST = [
    "NORMAL/IM-0115-0001.jpeg", "NORMAL/NORMAL2-IM-1427-0001.jpeg", "PNEUMONIA/person23_bacteria_78.jpeg",
    "PNEUMONIA/person23_bacteria_79.jpeg", "PNEUMONIA/person23_virus_80.jpeg",
]  # fmt: skip
TWO = {"normal": "NORMAL/*", "pneumonia": "PNEUMONIA/*"}


def assign(names, params, files=None):
    return archive_names.assign(names, params, lambda name: (files or {}).get(name, b""))


def params(**values: object) -> Params:
    return parse(Params, {"classes": TWO, **values}, "validate")


def test_one_set_serves_two_label_schemes():
    by_germ = params(classes={"bacteria": "PNEUMONIA/*bacteria*", "virus": "PNEUMONIA/*virus*"}, ignore="NORMAL/*")
    assert assign(CHEST, by_germ).images["label"].tolist() == ["bacteria", "bacteria", "virus"]
    assert assign(CHEST, params()).images["label"].tolist() == ["normal"] * 2 + ["pneumonia"] * 3


@pytest.mark.parametrize(("pattern", "patients"), [
    (r"(person\d+_(?:bacteria|virus)|IM-\d+)", ["IM-0115", "IM-1427", "person23_bacteria", "person23_bacteria", "person23_virus"]),
    (r"person(\d+)_(bacteria|virus)|IM-(\d+)", ["0115", "1427", "23-bacteria", "23-bacteria", "23-virus"]),
    (r"(?P<patient>person\d+|IM-\d+)_?(\w+)?", ["IM-0115", "IM-1427", "person23", "person23", "person23"]),
    (r"person\d+|IM-\d+", ["IM-0115", "IM-1427", "person23", "person23", "person23"]),
    (None, CHEST),
])  # fmt: skip
def test_patient_is_the_group_the_groups_or_the_match(pattern: str | None, patients: list[str]):
    assert assign(CHEST, params(patient=pattern)).images["patient"].tolist() == patients


def test_a_patient_pattern_that_misses_files_leaves_them_without_patient():
    result = assign(CHEST, params(patient=r"person\d+")).images
    assert result["patient"].fillna("none").tolist() == ["none", "none", "person23", "person23", "person23"]


def test_a_patient_pattern_that_finds_nobody_is_refused():
    with pytest.raises(UserError, match=r"validate.patient: 'subject.*finds a patient in none of 5 names.*null"):
        assign(CHEST, params(patient=r"subject\d+"))


def test_a_patient_pattern_that_would_never_end_is_stopped_in_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive_names, "SECONDS", 0.2)
    names = [f"NORMAL/{'a' * 40}{k}.png" for k in range(2)] + ["PNEUMONIA/b.png"]
    with pytest.raises(UserError, match=r"validate.patient: '\(a\+\)\+\$' is not done with 3 names.*Nested repeats"):
        assign(names, params(patient="(a+)+$"))
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_a_class_pattern_that_matches_nothing_names_itself_and_the_nearest_folders():
    with pytest.raises(UserError) as caught:
        assign(CHEST, params(classes={"normal": "**/NORML/*", "pneumonia": "PNEUMONIA/*", "other": "x/*"}))
    first, second = str(caught.value).splitlines()
    assert "validate.classes.normal: **/NORML/* matches none of the 5 files" in first
    assert "most similar first: NORMAL, PNEUMONIA" in first
    assert "classes.other" in second


def test_a_file_matched_by_two_classes_is_refused_by_name():
    with pytest.raises(
        UserError, match=r"1 files match both 'normal' \(NORMAL/\*\) and 'late' \(\*1427\*\): NORMAL/NORMAL2"
    ):
        assign(CHEST, params(classes={**TWO, "late": "*1427*"}))


def test_an_image_of_no_class_is_kept_without_label_and_another_file_is_listed_apart():
    files = {"DICOM/IM0001": bytes(128) + b"DICM", "LICENSE": b"text"}
    result = assign([*CHEST, "extra/film.png", "extra/notes.txt", *files], params(), files)
    assert set(result.images["path"][result.images["label"].isna()]) == {"extra/film.png", "DICOM/IM0001"}
    assert result.others == ["extra/notes.txt", "LICENSE"]


def test_hidden_files_and_ignored_ones_are_left_alone():
    noise = ["__MACOSX/NORMAL/._IM.jpeg", "NORMAL/.DS_Store", "NORMAL/Thumbs.db", ".git/x.png", "docs/a.json"]
    result = assign([*CHEST, *noise], params(ignore=["*.json"]))
    assert result.images["path"].tolist() == CHEST
    assert result.others == []


def test_masks_belong_to_their_images_and_are_no_strays():
    names = [*CHEST, *(f"masks/{n.split('/')[1].replace('.jpeg', '.png')}" for n in CHEST[:4])]
    result = assign(sorted(names), params(mask="masks/{stem}.png"))
    expected = [[f"masks/{n.split('/')[1][:-5]}.png"] for n in CHEST[:4]] + [[]]
    assert [[file.path for file in result.masks[n].files] for n in CHEST] == expected
    assert result.masks[CHEST[4]].missing == ["mask"]
    assert result.stray_masks == []
    assert result.others == []


def test_a_mask_template_that_names_no_file_says_what_it_looked_for():
    with pytest.raises(
        UserError, match=r"validate.mask.mask: .*no such file.*IM-0115-0001.jpeg it looks for mask/IM-0115"
    ):
        assign(CHEST, params(mask="mask/{stem}.png"))


def test_a_mask_shared_by_images_of_one_name_is_refused():
    with pytest.raises(UserError, match=r"masks/1.png of NORMAL/1.png \(mask\), PNEUMONIA/1.png.*{parent}"):
        assign(["NORMAL/1.png", "PNEUMONIA/1.png", "masks/1.png"], params(mask="masks/{stem}.png"))
    parted = ["NORMAL/1.png", "PNEUMONIA/1.png", "masks/NORMAL_1.png", "masks/PNEUMONIA_1.png"]
    result = assign(parted, params(mask="masks/{parent}_{name}"))
    assert [result.masks[n].files[0].path for n in parted[:2]] == parted[2:]


def test_provided_split_is_read_from_patterns():
    names = ["test/NORMAL/a.png", "test/PNEUMONIA/b.png", "train/NORMAL/c.png", "train/PNEUMONIA/d.png"]
    values = params(
        classes={"n": "**/NORMAL/*", "p": "**/PNEUMONIA/*"}, provided_split={"train": "train/**", "test": "test/**"}
    )
    assert assign(names, values).images["provided_split"].tolist() == ["test", "test", "train", "train"]
    wrong = values.model_copy(update={"provided_split": {"train": ["train/**"], "val": ["val/**"]}})
    with pytest.raises(UserError, match=r"validate.provided_split.val: val/\*\* matches none"):
        assign(names, wrong)


def test_an_archive_without_files_is_refused():
    with pytest.raises(UserError, match="has no files"):
        assign(["__MACOSX/a.png"], params())


@pytest.mark.parametrize(("values", "message"), [
    ({"classes": {}}, "validate.classes: "),
    ({"classes": {"a": [], "b": "*"}}, "validate.classes.a"),
    ({"classes": {"a": "*", "b": 3}}, "validate.classes.b"),
    ({"patient": "(person"}, "validate.patient: .*not a regular expression"),
    ({"mask": "masks/{steam}.png"}, r"validate.mask.*{steam}.*Valid: {stem}"),
    ({"mask": {"background": "masks/{stem}.png"}}, "validate.mask.*outside every structure"),
    ({"mask": {"lung": {"files": "m/{stem}.png", "treshold": 3}}}, r"mask.lung.treshold: unknown key.*'threshold'"),
    ({"mask": {"lung": {"files": "m/{stem}.png", "threshold": 255}}}, "mask.lung.threshold: .*254"),
    ({"mask": {"lung": []}}, "validate.mask.lung"),
    ({"mask": {}}, "validate.mask: "),
    ({"site": "(A|B"}, "validate.site: .*not a regular expression"),
    ({"mask": "masks/all.png"}, "the same mask"),
    ({"mask": "masks/{stem"}, "validate.mask"),
    ({"on_failure": "ignore"}, "validate.on_failure: .*'stop' or 'quarantine'"),
    ({"severity": {"readable": "info"}}, "validate.severity"),
    ({"provided_split": {"holdout": "*"}}, "validate.provided_split"),
    ({"limits": {"min_side": 99, "max_side": 9}}, "min_side 99 is more than max_side 9"),
    ({"near_duplicates": {"hash_size": 8, "distance": 30}}, "distance: 30 of 64 bits"),
    ({"limit": {}}, "Did you mean 'limits'"),
])  # fmt: skip
def test_a_wrong_value_is_refused_in_words(values: dict[str, object], message: str):
    with pytest.raises(UserError, match=message):
        params(**values)


def test_every_pattern_of_a_list_has_to_match_something():
    listed = params(classes={"normal": "NORMAL/*", "pneumonia": ["PNEUMONIA/*", "CONGESTION/*"]})
    with pytest.raises(UserError, match=r"validate\.classes\.pneumonia: CONGESTION/\* matches none of the 5 files"):
        assign(CHEST, listed)
