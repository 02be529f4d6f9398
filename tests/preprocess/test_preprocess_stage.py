"""preprocess from manifest to arrays: every pixel where it belongs, the same bytes each time, all or nothing."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.preprocess import Params, run
from stages.preprocess.params import Split
from stages.preprocess.split import assign
from stages.shared.arrays.arrays import load_arrays
from stages.shared.arrays.preprocessing import Preprocessor, PreprocessSpec
from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import MANIFEST, PROCESSED
from stages.shared.core.settings import parse
from stages.shared.images.decode import UnreadableImage

REPORTS = Path("reports/preprocess")


def preprocess(**values: object):
    return run(parse(Params, {"size": 24, "split": {"folds": 3}, **values}, "preprocess"), Job())


def written() -> tuple[np.ndarray, pd.DataFrame, dict]:
    index = pd.read_parquet(PROCESSED / "index.parquet")
    return np.load(PROCESSED / "images.npy", mmap_mode="r"), index, json.loads((PROCESSED / "meta.json").read_text())


@pytest.fixture
def manifest(make_manifest) -> pd.DataFrame:
    return make_manifest(5, 2, 60)


def test_each_row_is_its_image_as_serving_would_make_it(manifest, validated):
    members = validated(manifest)
    result = preprocess(steps=["CLAHE", "GaussNoise"])
    images, index, meta = written()
    again = Preprocessor(PreprocessSpec.model_validate(meta["preprocess"]))
    assert images.shape == (len(manifest), 24, 24, 1)
    assert images.dtype == np.uint8
    for row in range(0, len(index), 7):
        path = index["path"][row]
        assert np.array_equal(images[row], again(members[path], path))
    assert tuple(index.columns) == ("path", "label", "patient", "has_mask", "group", "split", "fold", "mask_fits")
    assert list(index["label"].cat.categories) == meta["classes"] == ["class0", "class1"]
    assert (meta["size"], meta["channels"]) == ([24, 24], 1)
    assert len(meta["fingerprint"]) == 64
    assert result.metrics["images"] == len(manifest)
    assert not (PROCESSED / "masks.npy").exists()


def test_figures_are_pictures_of_a_useful_size(manifest, validated):
    validated(manifest)
    figures = preprocess().figures
    assert [f.as_posix() for f in figures] == ["reports/preprocess/before_after.png", "reports/preprocess/split.png"]
    for figure in figures:
        with Image.open(figure) as image:
            assert min(image.size) > 300
            assert np.asarray(image.convert("L")).std() > 10


def test_before_and_after_show_the_outlines_of_masks(manifest, validated):
    def outlined() -> int:
        with Image.open(preprocess().figures[0]) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        return int((np.abs(pixels - (86, 180, 233)).sum(axis=2) < 30).sum())

    validated(manifest)
    assert outlined() == 0
    validated(annotate(manifest))
    assert outlined() > 500


def test_images_that_a_crop_leaves_whole_are_counted_by_class_and_drawn(manifest, validated, capsys):
    """The films of this test are grey up to their borders: their largest contour is the whole image, or nearly so."""
    validated(manifest)
    result = preprocess(steps=[{"CropLargestContour": {"threshold": 5}}, "CLAHE"])
    steps = json.loads((REPORTS / "steps.json").read_text())
    (entry,) = [entry for entry in steps if entry["reason"] == "whole image"]
    assert entry["images"] == result.metrics["left_whole_by_CropLargestContour"] == len(manifest)
    assert entry["classes"] == manifest["label"].value_counts().to_dict()
    assert entry["first"] == manifest["path"].head(5).tolist()
    assert (
        f"CropLargestContour left {entry['images']} of {len(manifest)} images as they were" in capsys.readouterr().err
    )
    assert not load_arrays().index["mask_fits"].any()


def test_the_split_card_is_written_with_the_arrays_and_the_picture(manifest, validated):
    validated(manifest)
    preprocess()
    index, content = written()[1], json.loads((REPORTS / "split.json").read_text())
    assert {part: counts["images"] for part, counts in content["parts"].items()} == index[
        "split"
    ].value_counts().to_dict()
    assert {count for counts in content["overlap"].values() for count in counts.values()} == {0}
    assert set(content["overlap"]) == {"patients", "files", "pictures"}


def test_a_split_that_leaks_stops_before_anything_is_written(manifest, validated, monkeypatch):
    """Whatever the code that splits does: the proof counts for itself."""
    validated(manifest)

    def broken(rows: pd.DataFrame, split: Split) -> pd.DataFrame:
        index = assign(rows, split)
        row = index["patient"].value_counts().index[0] == index["patient"]
        index.loc[np.flatnonzero(row)[0], ["split", "fold"]] = (
            ["test", -1] if index["split"][row].iloc[0] != "test" else ["train", 1]
        )
        return index

    monkeypatch.setattr("stages.preprocess.stage.assign", broken)
    with pytest.raises(RuntimeError, match="the split leaks"):
        preprocess()
    assert not PROCESSED.exists()


def test_a_crop_to_masks_needs_them(manifest, validated, capsys):
    validated(manifest)
    with pytest.raises(UserError, match=r"CropToMask: no image has a mask\. Say where .* validate\.mask"):
        preprocess(steps=["CropToMask"])
    mask = [
        {"structure": "lung", "path": f"masks/{i}.png", "invert": False, "threshold": 127} for i in range(len(manifest))
    ]
    has = np.arange(len(manifest)) % 4 != 0
    manifest = manifest.assign(has_mask=has, masks=[[m] if h else [] for m, h in zip(mask, has, strict=True)])
    members = validated(manifest)
    bare = manifest.loc[~has, "label"].value_counts()
    with pytest.raises(
        UserError,
        match=rf"{(~has).sum()} of {len(has)} images have no mask \(class0 {bare['class0']}, class1 {bare['class1']}\)",
    ):
        preprocess(steps=["CropToMask"])
    result = preprocess(steps=[{"CropToMask": {"without_mask": "whole"}}])
    assert f"CropToMask left {(~has).sum()} of {len(has)} images as they were (no mask)" in capsys.readouterr().err
    assert result.metrics["left_whole_by_CropToMask"] >= (~has).sum(), "and those whose mask reaches all borders"
    outlines = {
        row: np.asarray(Image.open(io.BytesIO(members[mask[row]["path"]]))) > 127 for row in np.flatnonzero(has)
    }
    row = next(
        row
        for row, inside in outlines.items()
        if not all(side.any() for side in (inside[:5], inside[-5:], inside[:, :5], inside[:, -5:]))
    )
    make = Preprocessor(PreprocessSpec.model_validate(written()[2]["preprocess"]))
    path, outline = manifest["path"][row], members[mask[row]["path"]]
    assert np.array_equal(written()[0][row], make(members[path], path, outline))
    assert not np.array_equal(written()[0][row], make(members[path], path))


def test_where_patients_are_unknown_groups_are_counted_and_not_images(manifest, validated):
    validated(manifest)
    assert preprocess().metrics["patients_test"] > 0
    validated(manifest.assign(patient=manifest["path"]))
    metrics = preprocess().metrics
    assert not [name for name in metrics if name.startswith("patients")]
    index = written()[1]
    assert metrics["groups_test"] == index["group"][index["split"] == "test"].nunique()
    assert metrics["groups"] < metrics["images"]


def test_uneven_parts_are_named_with_the_patient_who_makes_them_so(manifest, validated, capsys):
    manifest.loc[manifest.index[:130], "patient"] = "everywhere"
    validated(manifest.assign(cluster=range(len(manifest))))
    preprocess()
    message = capsys.readouterr().err
    assert "preprocess: the parts of the split are uneven" in message
    assert f"with patient everywhere, has 130 of {len(manifest)} images" in message
    assert "fold 2: " in message, "the fold that is unlike the others is the last one"


def test_two_runs_write_the_same_bytes(manifest, validated):
    validated(manifest)
    results = []
    for _ in range(2):
        figures = preprocess().figures
        results.append([p.read_bytes() for p in (*sorted(PROCESSED.iterdir()), *figures)])
    assert results[0] == results[1]


def test_the_fingerprint_follows_pixels_and_split(manifest, validated):
    validated(manifest)
    prints = set()
    for values in ({}, {"steps": []}, {"split": {"folds": 3, "seed": 1}}):
        preprocess(**values)
        prints.add(written()[2]["fingerprint"])
    assert len(prints) == 3


def test_quarantined_images_are_left_out(manifest, validated):
    manifest.loc[[3, 8], "quarantined"] = True
    validated(manifest)
    preprocess()
    images, index, _ = written()
    assert len(images) == len(index) == len(manifest) - 2
    assert not index["path"].isin(manifest["path"][[3, 8]]).any()


def annotate(manifest: pd.DataFrame, unannotated: set[int] = frozenset(), **mask: object) -> pd.DataFrame:
    """A mask of `structure` for each image but those."""
    entry = {"structure": "lung", "invert": False, "threshold": 127} | mask
    paths = manifest["path"].str.replace("images/", "masks/")
    masks = [[] if i in unannotated else [entry | {"path": path}] for i, path in enumerate(paths)]
    return manifest.assign(masks=masks, has_mask=[bool(files) for files in masks])


def test_masks_are_written_where_there_are_any_and_zero_where_one_is_missing(manifest, validated):
    members = validated(annotate(manifest, {4}))
    preprocess(steps=["HorizontalFlip"])
    arrays = load_arrays()
    assert arrays.structures == ["lung"]
    assert arrays.masks.shape == (len(manifest), 24, 24)
    assert set(np.unique(arrays.masks)) == {0, 1}
    assert not arrays.masks[4].any()
    assert arrays.index["has_mask"].tolist() == [i != 4 for i in range(len(manifest))]
    assert not arrays.index["mask_fits"].any(), "the step turned the image over"
    lung = np.asarray(Image.open(io.BytesIO(members[manifest["path"][9].replace("images/", "masks/")]))) > 127
    assert np.array_equal(arrays.original_mask(9), lung)
    with Image.fromarray(lung[:, ::-1]) as turned:
        assert (arrays.masks[9] == np.asarray(turned.resize((24, 24), Image.Resampling.NEAREST))).mean() > 0.95
    with pytest.raises(ValueError, match="row 4 is not annotated"):
        arrays.original_mask(4)


def test_rgb_has_three_channels(manifest, validated):
    validated(manifest)
    preprocess(mode="rgb", size=[16, 24])
    assert written()[0].shape == (len(manifest), 16, 24, 3)


def test_a_full_disk_is_reported_in_words_and_leaves_what_was_there(manifest, validated, monkeypatch):
    validated(manifest)
    preprocess()
    before = {p.name: p.read_bytes() for p in PROCESSED.iterdir()}

    def full(self: object, row: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("stages.preprocess.arrays.NpyWriter.write", full)
    with pytest.raises(UserError, match="data/processed: the disk is full"):
        preprocess(size=32)
    assert {p.name: p.read_bytes() for p in PROCESSED.iterdir()} == before
    assert [p.name for p in PROCESSED.parent.iterdir() if "partial" in p.name] == []


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF])
def test_a_file_system_that_takes_no_room_ahead_is_as_good(manifest, validated, monkeypatch, number: int):
    validated(manifest)
    preprocess()
    expected = written()[0].copy()

    def cannot(file: int, offset: int, size: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", cannot, raising=False)
    shutil.rmtree(PROCESSED)
    preprocess()
    assert np.array_equal(written()[0], expected)


def test_a_disk_that_will_be_full_is_told_before_the_work(manifest, validated, monkeypatch):
    validated(manifest)

    def full(file: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    monkeypatch.setattr("stages.preprocess.arrays.NpyWriter.write", None)
    with pytest.raises(UserError, match="data/processed: the disk is full"):
        preprocess()


def test_an_image_that_cannot_be_read_any_more_is_named_and_nothing_is_left(manifest, validated):
    members = validated(manifest)
    from stages.shared.core.paths import RAW
    from stages.shared.images.archive import write_archive

    broken = manifest["path"][11]
    write_archive(RAW, sorted({**members, broken: members[broken][:60]}.items()))
    with pytest.raises(UnreadableImage, match=broken):
        preprocess()
    assert not PROCESSED.exists()


@pytest.mark.parametrize(("values", "message"), [
    ({"steps": ["CLAHEE"]}, r"params.yaml: preprocess.steps\[0\]: 'CLAHEE' is not known. Did you mean 'CLAHE'"),
    ({"split": {"method": "random"}}, "preprocess.split.method: .*'random'"),
    ({"split": {"test": 1.5}}, "preprocess.split.test"),
    ({"split": {"folds": 1}}, "preprocess.split.folds"),
    ({"split": {"fold": 3}}, "Did you mean 'folds'"),
    ({"split": {"folds": 50}}, "need 51 groups"),
])  # fmt: skip
def test_a_wrong_setting_stops_before_anything_is_written(manifest, validated, values: dict, message: str):
    validated(manifest)
    with pytest.raises(UserError, match=message):
        preprocess(**values)
    assert not PROCESSED.exists()


def test_missing_or_empty_input_says_what_to_run(manifest, validated, workplace):
    with pytest.raises(UserError, match=r"data/manifest.parquet: missing. Run `dvc repro validate`"):
        preprocess()
    validated(manifest.assign(quarantined=True))
    with pytest.raises(UserError, match="images are quarantined"):
        preprocess()
    MANIFEST.write_bytes(b"not a table")
    with pytest.raises(UserError, match="damaged"):
        preprocess()
