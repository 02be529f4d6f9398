"""`python -m stages parallel` for real: interrupted, with a model that fails, and fixed. In order."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.shared.core.hardware import cores

pytestmark = pytest.mark.e2e

PRETRAINED = "models/pretrained/small_cnn_phantom.safetensors"
GOOD, BAD = "small_cnn-fine_tune-full", "broken-fine_tune-full"
COMMAND = [sys.executable, "-m", "stages", "parallel", "--jobs", "2"]


@pytest.fixture(scope="module")
def study(make_clone):
    """Two models, of which the first starts from a file that was cut off."""
    clone = make_clone()
    whole = (clone.folder / PRETRAINED).read_bytes()
    (clone.folder / "models/pretrained/cut.safetensors").write_bytes(whole[: len(whole) // 2])
    clone.edit(
        {
            "backbones": {
                "broken": {
                    "source": "lightbox",
                    "name": "small_cnn",
                    "weights": "models/pretrained/cut.safetensors",
                }
            },
            "matrix": {"backbone": ["broken", "small_cnn"], "strategy": ["fine_tune"]},
        }
    )
    return clone


def log(study, key):
    path = study.folder / f".lightbox/logs/{key}.log"
    return path.read_text() if path.exists() else ""


def leaderboard(study):
    with (study.folder / "reports/compare/leaderboard.csv").open() as file:
        return {row["key"]: row for row in csv.DictReader(file) if row["kind"] == "model"}


def left_over(study):
    """Processes at work in the clone."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            found += [link.parent.name] if os.readlink(link) == str(study.folder) else []
        except OSError:  # it ended, or is another user's
            continue
    return found


def nothing_is_locked(study):
    locks = study.folder / ".dvc/tmp/rwlock"
    return not locks.exists() or not any(json.loads(locks.read_text()).values())


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks for orphans in /proc")
def test_ctrl_c_stops_every_job_and_leaves_no_lock(study):
    process = subprocess.Popen(COMMAND, cwd=study.folder, env=study.environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 600  # a busy machine takes its time
    while not all(f"Running stage 'train@{key}'" in log(study, key) for key in (BAD, GOOD)):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert "Interrupted" in said
    deadline = time.monotonic() + 120  # MLflow's process marks its run and goes
    while left_over(study) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_over(study) == []
    assert nothing_is_locked(study)


def test_a_model_that_fails_stops_no_other_and_is_named_with_its_reason(study):
    done = study.command(*COMMAND, check=False)
    assert done.returncode == 1
    assert re.search(rf"{GOOD}: train \d+:\d\d, evaluate \d+:\d\d, embed \d+:\d\d, explain \d+:\d\d", done.stderr)
    last = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert BAD in last[0]
    assert "train failed" in last[0]
    assert "cut.safetensors: not a readable" in last[0]
    assert f".lightbox/logs/{BAD}.log" in last[0]
    assert "1 of 2 models failed" in last[-1]
    assert "missing" in done.stdout  # the leaderboard in the terminal
    assert nothing_is_locked(study)


def test_compare_marks_it_as_missing(study):
    rows = leaderboard(study)
    assert {key: row["status"] for key, row in rows.items()} == {GOOD: "complete", BAD: "missing"}
    assert rows[BAD]["auroc"] == ""
    assert set(study.json("reports/compare/metrics.json")["val_auroc"]) == {GOOD}
    assert f"dvc repro train@{BAD}" in (study.folder / "reports/compare/index.html").read_text()


def test_fixed_it_is_made_and_compared_and_nothing_else_runs(study):
    study.edit({"backbones.broken": {"weights": PRETRAINED}})
    done = study.command(*COMMAND)
    assert re.search(rf"{BAD}: train \d+:\d\d, evaluate", done.stderr)
    assert f"{GOOD}: up to date" in done.stderr
    assert {row["status"] for row in leaderboard(study).values()} == {"complete"}
    assert study.repro() == set()
    assert "2 models and their comparison are up to date." in study.command(*COMMAND).stdout


def test_every_run_in_mlflow_has_ended_below_one_parent(study):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{study.folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("lightbox").experiment_id], max_results=1000)
    parents = [run for run in runs if run.data.tags["stage"] == "experiment"]
    assert len(parents) == 1
    assert {run.info.status for run in runs} <= {"FINISHED", "FAILED"}
    trained = [
        run.data.tags["key"] for run in runs if run.data.tags["stage"] == "train" and run.info.status == "FINISHED"
    ]
    assert sorted(trained) == [BAD, GOOD]


def test_a_fork_trains_the_bits_that_a_process_of_its_own_trains(study):
    weights = study.folder / f"models/{GOOD}/weights.safetensors"
    before, threads = weights.read_bytes(), str(max(1, cores() // 2))
    study.dvc("repro", "-f", "-s", f"train@{GOOD}", OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads)
    assert weights.read_bytes() == before
