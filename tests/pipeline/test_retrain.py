"""`python -m stages retrain` for real: images in a folder, DVC's remote in another one, MLflow in a file. In order."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from stages.download.params import Faults, Phantom
from stages.download.phantom.cohort import draw_cohort
from stages.download.phantom.film import draw

pytestmark = pytest.mark.e2e

KEY = "small_cnn-fine_tune-full"
SMALL = {
    "download": {"source": "folder", "privacy": "keep"},
    "validate": {"mask": None},
    "validate.shortcuts": {"enabled": False},
    "matrix": {"strategy": ["fine_tune"], "sample": ["full"]},
    "floor": {"models": []},
    "explain": {"checks": False, "right": 1, "wrong": 1},
    "compare": {"documents": False, "ensembles": False},
    "drift": {"patients": 5, "permutations": 199, "draws": 100},
    # so few patients and epochs: what is tested here is the loop, not the model
    "registry": {"floors": {"auroc": 0.1}, "calibration": 0.9, "min_patients": 2, "latency_ms": 60000.0, "draws": 200},
}


def add_films(folder: Path, seed: int, patients: int) -> None:
    settings = Phantom.model_validate(
        {
            "patients": patients, "seed": seed, "size": 64, "images_per_patient": [1, 1], "opacity": [0.8, 1],
            "faults": dict.fromkeys(Faults.model_fields, 0),
        }
    )  # fmt: skip
    for film in draw_cohort(settings)[0]:
        path = folder / film.image.replace("patient", f"patient{seed}")
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), draw(film.scene, settings)[0])


def retrain(clone: Any) -> subprocess.CompletedProcess[str]:
    done = clone.command(sys.executable, "-m", "stages", "retrain", "--jobs", "1", "--promote", check=False)
    assert done.returncode in (0, 3, 4), done.stdout[-3000:] + done.stderr[-6000:]
    return done


def summary(clone: Any) -> str:
    return (clone.folder / "reports/retrain/summary.md").read_text()


def promotions(clone: Any) -> int:
    lines = [json.loads(line) for line in (clone.folder / "champions.jsonl").read_text().splitlines()]
    return sum(line["event"] == "promote" and line["state"] == "done" for line in lines)


@pytest.fixture(scope="module")
def study(make_clone: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    clone = make_clone(**SMALL)
    add_films(clone.folder / "data/folder", seed=1, patients=44)
    clone.dvc("remote", "add", "--default", "storage", str(tmp_path_factory.mktemp("remote")))
    return clone


def test_the_first_round_trains_judges_and_promotes(study: Any) -> None:
    done = retrain(study)
    assert done.returncode == 0, done.stdout
    text = summary(study)
    assert f"1 model trained ({KEY})" in text
    assert f"Promoted: {KEY} is champion, version 1" in text
    assert "champion when this began: none yet" in text
    assert "## Gate: promote" in text
    assert "## Leaderboard" in text
    assert promotions(study) == 1


def test_with_nothing_new_another_machine_pulls_and_trains_nothing(study: Any) -> None:
    """Its disk has what git has, the images and MLflow's file; all else comes from the remote."""
    recipe = study.json(f"models/{KEY}/recipe.json")
    for name in (".dvc/cache", "data/processed", f"models/{KEY}", "reports", ".lightbox/logs"):
        shutil.rmtree(study.folder / name)
    for name in ("data/manifest.parquet", "data/raw.zip"):
        (study.folder / name).unlink()
    assert retrain(study).returncode == 0
    text = summary(study)
    assert "0 models trained" in text
    assert f"Nothing to do: {KEY} is the champion already" in text
    assert study.json(f"models/{KEY}/recipe.json") == recipe
    assert promotions(study) == 1


def test_new_images_are_trained_on_and_a_worse_model_leaves_the_champion_alone(study: Any) -> None:
    """It learns nothing, and the floor is one that it cannot reach."""
    add_films(study.folder / "data/folder", seed=2, patients=16)
    study.edit({"train.optimizer": {"lr": 1e-9}, "train": {"epochs": 1}, "registry": {"floors": {"auroc": 1.0}}})
    done = retrain(study)
    assert done.returncode == 3, done.stdout
    text = summary(study)
    assert f"1 model trained ({KEY})" in text
    assert f"Rejected: {KEY}; the champion stays" in text
    assert "It fails in: " in text
    assert "## New images. " in text
    assert promotions(study) == 1
