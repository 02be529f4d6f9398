"""Rows of earlier runs: only what is new is computed, the bytes are those of a run from scratch, and nothing stale is used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.preprocess import Params, earlier, run
from stages.shared.arrays.preprocessing import Preprocessor
from stages.shared.core.earlier import KEPT
from stages.shared.core.job import Job
from stages.shared.core.paths import MANIFEST, PROCESSED, RAW
from stages.shared.core.settings import parse
from stages.shared.images.archive import write_archive

from .conftest import encode, film

ROWS = Path(".lightbox/rows")


def preprocess(**values: object):
    return run(parse(Params, {"size": 24, "split": {"folds": 3}, **values}, "preprocess"), Job())


def arrays() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in PROCESSED.iterdir()}


@pytest.fixture
def manifest(make_manifest) -> pd.DataFrame:
    manifest = make_manifest(5, 2, 60)
    has_mask = np.arange(len(manifest)) % 3 != 1
    masks = [
        [{"structure": "lung", "path": f"masks/{i}.png", "invert": False, "threshold": 127}] if has else []
        for i, has in enumerate(has_mask)
    ]
    return manifest.assign(has_mask=has_mask, masks=masks)


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    monkeypatch.setattr("stages.preprocess.stage.draw", lambda *_: ())


@pytest.fixture
def computed(monkeypatch) -> list[str]:
    """Names of the images that were treated, in any order."""
    names, prepare = [], Preprocessor.prepare

    def counted(self, image, mask=None, name=""):
        names.append(name)
        return prepare(self, image, mask, name)

    monkeypatch.setattr(Preprocessor, "prepare", counted)
    return names


def test_the_second_run_computes_the_new_images_alone_and_writes_what_a_first_run_would(
    manifest, validated, computed, tmp_path
):
    some = manifest.drop(index=[3, 4, 50]).reset_index(drop=True)
    members = validated(manifest)
    some.to_parquet(MANIFEST, index=False)
    preprocess()
    assert len(computed) == len(some)
    computed.clear()
    manifest.to_parquet(MANIFEST, index=False)
    result = preprocess()
    assert sorted(computed) == sorted(manifest["path"][[3, 4, 50]])
    assert result.metrics["images_computed"] == 3
    added = arrays()
    preprocess()
    assert len(computed) == 3
    assert arrays() == added
    for folder in ROWS.iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    computed.clear()
    preprocess()
    assert len(computed) == len(manifest)
    assert arrays() == added
    assert members


@pytest.mark.parametrize("change", ["steps", "size", "code", "library"])
def test_other_steps_code_or_libraries_use_no_earlier_row(manifest, validated, computed, monkeypatch, change: str):
    validated(manifest)
    preprocess()
    computed.clear()
    if change == "code":
        monkeypatch.setattr(earlier, "digest_of", lambda *_: "other code")
    if change == "library":
        monkeypatch.setattr(earlier, "version", lambda name: f"{name} 99")
    preprocess(**{"steps": {"steps": []}, "size": {"size": 25}}.get(change, {}))
    assert len(computed) == len(manifest)


def test_other_bytes_or_another_mask_under_the_same_name_are_computed(manifest, validated, computed):
    members = validated(manifest)
    preprocess()
    computed.clear()
    image, mask = manifest["path"][1], manifest["masks"][2][0]["path"]
    changed = {**members, image: encode(film(999)), mask: encode(255 - film(2))}
    write_archive(RAW, sorted(changed.items()))
    preprocess()  # with the manifest of before: the checksums in the archive tell
    assert sorted(computed) == sorted([image, manifest["path"][2]])


def test_a_row_that_was_damaged_on_the_disk_is_computed(manifest, validated, computed):
    validated(manifest)
    preprocess()
    before = arrays()
    computed.clear()
    (folder,) = ROWS.iterdir()
    data = bytearray((folder / "images.npy").read_bytes())
    data[-1] ^= 1  # of the last row
    (folder / "images.npy").unlink()
    (folder / "images.npy").write_bytes(data)
    preprocess()
    assert computed == [manifest["path"].iloc[-1]]
    assert arrays() == before
    (folder / "rows.parquet").write_bytes(b"no table")
    computed.clear()
    preprocess()
    assert len(computed) == len(manifest)


def test_notes_of_crops_are_kept_and_few_runs_stay(manifest, validated, computed):
    validated(manifest)
    crop = [{"CropLargestContour": {"threshold": 5}}]
    first = preprocess(steps=crop).metrics["left_whole_by_CropLargestContour"]
    steps = json.loads(Path("reports/preprocess/steps.json").read_text())
    computed.clear()
    again = preprocess(steps=crop)
    assert not computed
    assert again.metrics["left_whole_by_CropLargestContour"] == first > 0
    assert json.loads(Path("reports/preprocess/steps.json").read_text()) == steps
    for size in (16, 17, 18):
        preprocess(size=size)
    assert len(list(ROWS.iterdir())) == KEPT


def test_a_run_that_is_stopped_leaves_nothing_behind(manifest, validated, monkeypatch):
    validated(manifest)
    monkeypatch.setattr(earlier.Table, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        preprocess()
    assert list(ROWS.iterdir()) == []


def test_a_disk_without_links_keeps_copies(manifest, validated, computed, monkeypatch):
    validated(manifest)
    monkeypatch.setattr(earlier.os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    preprocess()
    computed.clear()
    preprocess()
    assert not computed
