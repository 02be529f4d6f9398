from __future__ import annotations

import copy
import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest

from stages import estimate, presets, study
from stages.estimate import Pace
from stages.shared.core import settings

PACE = Pace(0.01, {"stem": 0.25, "block1": 0.25, "block2": 0.4, "head": 0.1})


@pytest.fixture
def raw(repository):
    raw = copy.deepcopy(settings.read(repository / "params.yaml"))
    raw["matrix"] |= {"backbone": ["small_cnn"], "strategy": ["from_scratch"], "sample": ["full"]}
    return raw


def test_a_study_of_one_model_by_hand(raw, monkeypatch):
    """1,000 images: 250 test; of the other 750 a fifth validates, and 600 train. All learns: 20 epochs of 600 images
    forward and backward (3 passes) and 150 forward; then twice test and validation (400) and every training image once."""
    monkeypatch.setattr(estimate, "measure", lambda params, size: PACE)
    passes = 20 * (600 * 3 + 150) + 2 * 400 + 600
    assert estimate.seconds(raw, 1_000) == pytest.approx(0.01 * passes)


def test_frozen_blocks_are_computed_once_a_view(raw, monkeypatch):
    monkeypatch.setattr(estimate, "measure", lambda params, size: PACE)
    raw["matrix"]["strategy"] = ["feature_extraction"]
    frozen = 0.9 * (4 * 600 + 150)  # four views of the training images, one of those that validate
    head = 0.1 * 20 * (600 * 3 + 150)
    assert estimate.seconds(raw, 1_000) == pytest.approx(0.01 * (frozen + head + 2 * 400 + 600))


def test_the_parts_of_a_real_network(raw):
    """ResNet-18 at 224 pixels has 1.8 billion multiplications (He et al. 2016), most of them in its four blocks."""
    raw["matrix"]["backbone"] = ["resnet18"]
    (key,) = study.parse_matrix(raw).keys()
    pace = estimate.measure(study.resolve("train", raw, key), (64, 64))
    assert list(pace.shares) == ["stem", "block1", "block2", "block3", "block4", "head"]
    assert sum(pace.shares.values()) == pytest.approx(1)
    assert pace.shares["block1"] == pytest.approx(0.255, abs=0.005)  # 4 convolutions of 3×3, 64 -> 64, at a quarter
    assert pace.shares["head"] < 1e-4
    assert 0 < pace.forward < 10


@pytest.mark.parametrize("name", ["phantom_lungs", "phantom_anomaly"])
def test_other_tasks_can_be_estimated_too(workspace, repository, name):
    shutil.copy(repository / "params.yaml", workspace / "params.yaml")
    shutil.copytree(repository / "models" / "pretrained", workspace / "models" / "pretrained")
    presets.use(name)
    assert estimate.seconds(settings.read(), 100) > 0


def test_images_are_counted_where_they_lie(raw, tmp_path):
    assert estimate.count_images(raw, None) == 640  # 320 patients with one to three films each
    (tmp_path / "a").mkdir()
    for name in ("a/1.png", "a/2.JPG", "a/notes.txt"):
        (tmp_path / name).write_bytes(b"")
    raw["download"] |= {"source": "folder", "folder": {"path": str(tmp_path)}}
    assert estimate.count_images(raw, 7) == 2
    with ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("1.png", "2.png", "3.dcm", "README"):
            archive.writestr(name, b"")
    raw["download"]["folder"]["path"] = str(tmp_path / "set.zip")
    assert estimate.count_images(raw, 7) == 3
    raw["download"]["source"] = "kaggle"
    assert estimate.count_images(raw, 7) == 7


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "about 1 second"), (90, "about 90 seconds"), (130, "about 2 minutes"), (6_100, "about 100 minutes"),
     (7_300, "about 2 hours"), (40_000, "about 11 hours"), (3e6, "about 30 days")],
)  # fmt: skip
def test_a_duration_is_a_round_number(seconds, words):
    assert estimate.in_words(seconds) == words


def test_before_a_download_the_user_knows_what_it_takes(raw, monkeypatch, capsys, tmp_path: Path):
    monkeypatch.setattr(estimate, "measure", lambda params, size: PACE)
    raw["download"]["source"] = "kaggle"
    estimate.show(raw, 5_856, 2.3)
    printed = capsys.readouterr().out
    assert "Download: about 2.3 GB. 5,856 images" in printed
    assert "Training: about 40 minutes, one model" in printed
