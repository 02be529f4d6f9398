"""A table gives the labels: what it says travels to the index, and each fault of it is named."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pandas as pd
import pytest

from stages.preprocess import Params as Preprocess
from stages.preprocess import run as preprocess
from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import MANIFEST, PROCESSED, VALIDATION
from stages.shared.core.settings import parse
from stages.shared.tasks.task import described
from stages.validate import Params, run
from stages.validate import names as archive_names
from stages.validate.labels import measured

NAMES = [f"films/{number}.png" for number in range(1, 9)]
TABLE = pd.DataFrame({
    "Image Index": [f"{number}.png" for number in range(1, 9)],
    "Finding": ["No Finding", "NORMAL", "Edema", "Edema", "Mass", "No Finding", "Edema", "No Finding"],
    "Patient ID": [f"p{(number + 1) // 2}" for number in range(1, 9)],
    "Part": ["train", "Training", "test", "test", "val", "train", "valid", "train"],
    "Hospital": ["A", "A", "B", "B", "A", "B", "A", "B"],
    "Patient Age": ["034Y", "058Y", "006M", "", "001Y", "070Y", "NA", "020Y"],
    "View": ["PA", "AP", "PA", "", "PA", "PA", "AP", "PA"],
    "kVp": ["120", "90.5", "NaN", "80", "80", "80", "80", "80"],
})  # fmt: skip
LABELS = {
    "table": "labels.csv", "path_column": "Image Index", "label_column": "Finding", "patient_column": "Patient ID",
    "split_column": "Part", "site_column": "Hospital",
    "metadata": {"age": "Patient Age", "view": "View", "kvp": "kVp"},
}  # fmt: skip
CLASSES = {"normal": ["NORMAL", "No Finding"], "oedema": "Edema"}
PATHS = {"table": "labels.csv", "path_column": "Image Index", "label_column": "Finding"}


def params(labels: dict | None = None, **values: object) -> Params:
    return parse(Params, {"classes": CLASSES, "labels": labels or LABELS, **values}, "validate")


def assign(settings: Params, table: pd.DataFrame = TABLE, names: list[str] = NAMES):
    files = {"labels.csv": table.to_csv(index=False).encode()}
    return archive_names.assign([*names, "labels.csv"], settings, lambda name: files.get(name, b""))


@pytest.mark.parametrize("cell", ["Edema|Mass", "['Edema', 'Mass']"])
def test_images_with_several_labels_can_be_left_out(cell, capsys):
    table = TABLE.assign(Finding=TABLE["Finding"].where(TABLE.index != 2, cell))
    images = assign(params({**PATHS, "several": "leave_out"}), table).images.set_index("path")
    assert list(images.index) == [name for name in NAMES if name not in ("films/3.png", "films/5.png")]
    assert (
        f"2 images are left out: params.yaml: validate.classes lists none of their values in column 'Finding': {cell} (1)"
        in capsys.readouterr().err
    )


def test_every_column_means_what_params_say():
    images = assign(params()).images.set_index("path")
    assert list(images.index) == [name for name in NAMES if name != "films/5.png"], "a mass is of no class"
    assert images["label"].tolist() == ["normal", "normal", "oedema", "oedema", "normal", "oedema", "normal"]
    assert list(images["label"].cat.categories) == ["normal", "oedema"]
    assert images["patient"].tolist() == ["p1", "p1", "p2", "p2", "p3", "p4", "p4"]
    assert images["provided_split"].tolist() == ["train", "train", "test", "test", "train", "val", "train"]
    assert images["site"].tolist() == list("AABBBAB")
    assert images["meta_age"].fillna(-1).tolist() == [34, 58, 0.5, -1, 70, -1, 20]
    assert images["meta_view"].fillna("none").tolist() == ["PA", "AP", "PA", "none", "PA", "AP", "PA"]
    assert images["meta_kvp"].fillna(-1).tolist() == [120, 90.5, -1, 80, 80, 80, 80]


def test_a_list_of_columns_names_the_metadata():
    images = assign(params({**PATHS, "metadata": ["view"]}), TABLE.rename(columns={"View": "view"})).images
    assert images["meta_view"].notna().sum() == 6
    assert images["patient"].tolist() == images["path"].tolist(), "no column of patients: each image is its own"


def test_values_of_another_split_and_a_pattern_for_the_patient_go_together():
    table = TABLE.assign(Part=["A", "A", "B", "B", "A", "A", "C", "C"])
    labels = {**PATHS, "split_column": "Part"}
    found = assign(params(labels, provided_split={"train": "A", "test": ["B", "C"]}, patient=r"\d"), table).images
    assert found["provided_split"].tolist() == ["train", "train", "test", "test", "train", "test", "test"]
    assert found["patient"].tolist() == ["1", "2", "3", "4", "6", "7", "8"]


def test_images_of_no_class_go_with_their_masks_and_are_told(capsys: pytest.CaptureFixture[str]):
    masks = [name.replace("films/", "masks/") for name in NAMES]
    files = assign(params(mask="masks/{name}"), names=[*NAMES, *masks])
    assert "films/5.png" not in files.masks
    assert len(files.images) == 7
    assert files.others == files.stray_masks == []
    message = capsys.readouterr().err
    assert "1 images are left out" in message
    assert "'Finding': Mass (1)" in message


def test_an_image_without_a_row_and_a_row_without_a_label_leave_it_unlabelled():
    table = TABLE.assign(Finding=TABLE["Finding"].mask(TABLE.index == 3))
    images = assign(params(), table[1:]).images.set_index("path")
    assert images.index[images["label"].isna()].tolist() == ["films/1.png", "films/4.png"]


def test_a_table_in_the_folder_of_a_class_is_no_image():
    files = archive_names.assign(
        ["NORMAL/a.png", "SICK/b.png", "SICK/list.csv"],
        parse(Params, {"classes": {"n": "NORMAL/*", "s": "SICK/*"}}, "validate"), lambda name: b"",
    )  # fmt: skip
    assert files.images["path"].tolist() == ["NORMAL/a.png", "SICK/b.png"]
    assert files.tables == ["SICK/list.csv"]


SEVERAL = TABLE.assign(Finding=["No Finding", "Edema|Mass", *TABLE["Finding"][2:]])
AGAIN = pd.concat([TABLE, TABLE[2:3].assign(Finding="Mass")])
OTHER_AGE = pd.concat([TABLE, TABLE[2:3].assign(**{"Patient Age": "080Y"})])


@pytest.mark.parametrize(("table", "changes", "message"), [
    (SEVERAL, {}, r"'Finding' gives several labels in 1 of 8 rows: films/2.png \(Edema\|Mass\).*exactly one label"),
    (SEVERAL.replace("Edema|Mass", "Edema; Mass"), {}, r"several labels.*\(Edema; Mass\)"),
    (SEVERAL.replace("Edema|Mass", "['Edema', 'Mass']"), {}, r"several labels.*\['Edema', 'Mass'\]"),
    (AGAIN, {}, r"several rows for one image that differ in 'Finding': films/3.png \(Edema and Mass\).*exactly one label"),
    (OTHER_AGE, {}, r"differ in 'Patient Age': films/3.png \(006M and 080Y\).*agree"),
    (TABLE.drop(columns="Finding"), {}, r"labels.label_column: column of labels.csv: 'Finding' is not known.*'?Valid: "),
    (TABLE.drop(columns="View"), {}, "labels.metadata.view: column of labels.csv: 'View' is not known"),
    (TABLE.assign(**{"Image Index": "none.png"}), {}, r"none of its 8 cells, such as none.png.*, is a file of .*films/1"),
    (TABLE.assign(Part="fold 1"), {}, r"split_column: 'Part' of labels.csv has fold 1. Valid: train, val, test"),
    (TABLE, {"classes": {"normal": "No Findings", "oedema": "Edema"}},
     r"classes.normal: 'No Findings' is in no row.*Did you mean 'No Finding'\? Values there: No Finding \(3\)"),
    (TABLE, {"classes": {"normal": "NORMAL", "oedema": ["Edema", "NORMAL"]}}, "'NORMAL' stands under both normal and oedema"),
    (TABLE, {"labels": {**LABELS, "table": "label.csv"}}, r"labels.table: 'label.csv' is not in .*Tables there: labels.csv"),
    (TABLE, {"labels": {**LABELS, "table": "labels.xlsx"}}, r"'labels.xlsx' is no table. Valid: .*\.csv or \.parquet"),
])  # fmt: skip
def test_a_table_that_does_not_fit_is_refused_in_words(table: pd.DataFrame, changes: dict, message: str):
    with pytest.raises(UserError, match=message):
        assign(params(**changes), table)


def test_a_value_of_two_labels_that_a_class_lists_is_one_label():
    both = params({**PATHS}, classes={"normal": "No Finding", "both": "Edema|Mass"})
    assert assign(both, SEVERAL).images["label"].tolist() == ["normal", "both", "normal", "normal"]


def test_a_cell_that_may_be_two_files_is_refused_unless_one_is_a_mask():
    twins = [*NAMES, "more/1.png"]
    with pytest.raises(UserError, match=r"'1.png' may be films/1.png, more/1.png. Write more of the path"):
        assign(params(), names=twins)
    assert len(assign(params(mask={"lung": "more/{name}"}), names=twins).images) == 7


@pytest.mark.parametrize(("values", "message"), [
    ({"labels": {**LABELS, "label_column": ["Edema", "Mass"]}}, r"label_column: Edema, Mass: several columns.*exactly one"),
    ({"labels": {"table": "labels.csv", "label_column": "a"}}, "labels.path_column: missing"),
    ({"labels": {**LABELS, "metadata": ["Patient Age"]}}, r"metadata: 'Patient Age' cannot be a name.*{age: 'Patient Age'}"),
    ({"labels": LABELS, "patient": r"p\d"}, "patient: given by labels.patient_column too"),
    ({"labels": LABELS, "site": "A"}, "site: given by labels.site_column too"),
])  # fmt: skip
def test_wrong_settings_are_refused_in_words(values: dict, message: str):
    with pytest.raises(UserError, match=message):
        parse(Params, {"classes": CLASSES, **values}, "validate")


@pytest.mark.parametrize(("cells", "values"), [
    (["034Y", "018M", "002W", "010D"], [34, 1.5, 0.04, 0.03]),
    (["1", "2.5", ""], [1, 2.5, None]),
    (["034Y", "34"], ["034Y", "34"]),
    (["M", "F", "N/A"], ["M", "F", None]),
    (["", "nan"], [None, None]),
])  # fmt: skip
def test_numbers_and_ages_become_numbers_only_where_all_are(cells: list[str], values: list):
    column = measured(pd.Series(cells, dtype=object))
    assert [None if pd.isna(value) else value for value in column] == values


@pytest.fixture
def labelled(films) -> dict[str, bytes]:
    """The 24 films of 12 patients in one folder, as a hospital hands them out: what they show stands in a table."""
    images = {name.rsplit("/", 1)[1]: data for name, data in films.items() if name.startswith("images/")}
    rows = pd.DataFrame({"file": sorted(images)})
    rows["finding"] = rows["file"].str.split("_").str[1]
    rows["who"] = rows["file"].str[:11]
    rows["age"] = [f"{20 + row // 2:03d}Y" for row in range(len(rows))]
    gone = pd.DataFrame({"file": ["gone.png"], "finding": "haze", "who": "patient0099", "age": "050Y"})
    table = pd.concat([rows, rows[3:4], gone])
    return {f"films/{name}": data for name, data in images.items()} | {"labels.csv": table.to_csv(index=False).encode()}


def test_labels_and_metadata_reach_the_manifest_the_index_and_the_predictions(pack, labelled):
    pack(labelled)
    settings = {
        "classes": {"normal": "normal", "sick": "haze"}, "limits": {"min_images_per_class": 4},
        "labels": {"table": "labels.csv", "path_column": "file", "label_column": "finding", "patient_column": "who",
                   "metadata": ["age"]},
    }  # fmt: skip
    run(parse(Params, settings, "validate"), Job())
    manifest = pd.read_parquet(MANIFEST)
    assert manifest["label"].value_counts().to_dict() == {"normal": 12, "sick": 12}
    assert manifest["patient"].nunique() == 12
    checks = {check["name"]: check for check in json.loads(VALIDATION.read_text())["checks"]}
    assert checks["row_has_image"]["examples"] == ["gone.png"]
    assert checks["one_row_per_image"]["examples"] == ["patient0001_normal_2.png"] * 2
    assert [name for name, check in checks.items() if not check["success"]] == ["row_has_image", "one_row_per_image"]
    preprocess(parse(Preprocess, {"size": 16, "steps": [], "split": {"folds": 2, "test": 0.25}}, "preprocess"), Job())
    index = pd.read_parquet(PROCESSED / "index.parquet")
    numbers = index["path"].str.extract(r"patient(\d+)")[0].astype(int)
    assert index["meta_age"].tolist() == (20 + numbers).tolist()
    assert described(index)["meta_age"].tolist() == index["meta_age"].tolist()


def test_an_image_without_a_row_is_set_aside_with_the_reason(pack, labelled):
    table = pd.read_csv(io.BytesIO(labelled["labels.csv"]))
    pack({**labelled, "labels.csv": table[1:].to_csv(index=False).encode()})
    settings = {
        "classes": {"normal": "normal", "sick": "haze"}, "limits": {"min_images_per_class": 4},
        "on_failure": "quarantine",
        "labels": {"table": "labels.csv", "path_column": "file", "label_column": "finding", "patient_column": "who"},
    }  # fmt: skip
    run(parse(Params, settings, "validate"), Job())
    aside = pd.read_parquet(MANIFEST).query("quarantined")
    assert aside["path"].tolist() == ["films/patient0000_normal_1.png"]
    assert re.search(r"no label: labels.csv has no row for it.*no patient by labels.csv", aside["reason"].iloc[0])


def dicom(pixels: np.ndarray, **tags: object) -> bytes:
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = "1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_headers_give_the_patient_and_metadata(pack, make_film, make_bytes):
    members = {
        f"{folder}/IM{number:04d}": dicom(
            make_film(number + 50 * (folder == "SICK")), PatientID=f"{folder[0]}{number // 2}", PatientAge=f"{number:03d}Y",
            PatientSex="MF"[number % 2], Manufacturer="Agfa",
        )
        for folder in ("NORMAL", "SICK") for number in range(4)
    } | {"SICK/plain.png": make_bytes(make_film(99)), "SICK/torn.dcm": bytes(128) + b"DICM torn"}  # fmt: skip
    pack(members)
    settings = {
        "classes": {"n": "NORMAL/*", "s": "SICK/*"}, "limits": {"min_images_per_class": 4}, "on_failure": "quarantine",
        "dicom": {"patient": True, "metadata": ["age", "sex", "view", "manufacturer"]},
    }  # fmt: skip
    run(parse(Params, settings, "validate"), Job())
    manifest = pd.read_parquet(MANIFEST).set_index("path")
    assert manifest["patient"].dropna().tolist() == ["N0", "N0", "N1", "N1", "S0", "S0", "S1", "S1"]
    assert manifest["meta_age"].dropna().tolist() == [0, 1, 2, 3] * 2
    assert manifest["meta_sex"].dropna().tolist() == list("MFMF") * 2
    assert manifest["meta_view"].isna().all()
    assert manifest["meta_manufacturer"].dropna().tolist() == ["Agfa"] * 8
    assert "no patient by its DICOM header" in manifest["reason"]["SICK/plain.png"]
    assert "unreadable" in manifest["reason"]["SICK/torn.dcm"]


@pytest.mark.parametrize(("values", "message"), [
    ({"patient": "P", "dicom": {"patient": True}}, "patient: given by dicom.patient too"),
    ({"dicom": {"metadata": ["weight"]}}, "dicom.metadata.*'age'.*found 'weight'"),
    ({"labels": LABELS, "dicom": {"metadata": ["age"]}}, "dicom.metadata: age is given by labels.metadata too"),
])  # fmt: skip
def test_one_thing_is_given_once(values: dict, message: str):
    with pytest.raises(UserError, match=message):
        parse(Params, {"classes": CLASSES, **values}, "validate")
