"""DVC does its job: what an edit reruns, experiments, killing. In order: each test leaves a finished pipeline behind."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from stages.parallel.client import ADDRESS
from stages.shared.tracking.store import WORKER

pytestmark = pytest.mark.e2e  # one file: pytest-xdist's loadfile keeps it in one process, in order

OWN_PROCESS = {ADDRESS: "", WORKER: ""}  # for stages that run in a copy, or are killed with DVC
MEMBERS = ["small_cnn-from_scratch-full", "small_cnn-fine_tune-full"]


def ran(output):
    return set(re.findall(r"Running stage '([^']+)'", output))


def leaderboard(clone):
    with (clone.folder / "reports/compare/leaderboard.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "model"]  # neighbours that vote are no models
        return {f"{row['backbone']}-{row['strategy']}-{row['sample']}" for row in rows}


def test_the_first_run_makes_every_stage_and_the_leaderboard(finished):
    per_member = {f"{stage}@{key}" for stage in ("train", "evaluate", "embed", "explain") for key in MEMBERS}
    assert ran(finished.first_output) == {"download", "validate", "preprocess", "floor", "compare", *per_member}
    assert "train: model 1 of 2" in finished.first_output
    assert re.search(r"compare: done in \d+:\d\d", finished.first_output)
    assert leaderboard(finished) == set(MEMBERS)
    assert (finished.folder / "reports/compare/index.html").stat().st_size > 10_000


NOTEBOOKS = """
import pathlib, runpy
import matplotlib.pyplot as plt
for path in sorted(pathlib.Path("notebooks").glob("*.py")):
    if path.stem != "run":
        runpy.run_path(str(path))
        print(path.stem, len(plt.get_fignums()))
        plt.close("all")
"""


def test_every_notebook_draws_its_figures(finished):
    """As scripts in one process; .ci/run executes them as notebooks. The next test says that git ignores what they write."""
    done = finished.command(sys.executable, "-W", "error::FutureWarning", "-c", NOTEBOOKS, MPLBACKEND="agg")
    figures = dict(line.split() for line in done.stdout.splitlines())
    assert {name: int(count) for name, count in figures.items()} == {
        "data": 5,
        "evaluation": 4,
        "explanations": 4,
        "figures": 2,
        "training": 3,
    }
    written = {path.name for path in (finished.folder / "notebooks/figures").iterdir()}
    assert written == {"data_efficiency.pdf", "gains.pdf"}


def test_nothing_but_dvc_lock_and_the_metrics_is_new_to_git(finished):
    assert finished.git("show", "--name-only", "--format=", "HEAD").split() == [
        "dvc.lock",
        "reports/compare/metrics.json",
    ]
    assert finished.git("status", "--porcelain") == ""


def test_a_second_run_runs_nothing(finished):
    assert finished.repro() == set()


def test_a_comment_reruns_nothing(finished):
    path = finished.folder / "params.yaml"
    path.write_text("# a remark\n" + path.read_text())
    assert finished.repro() == set()


def test_an_edit_of_how_things_look_makes_no_model_stale(finished, tmp_path):
    for name, stale in {
        "stages/compare/figures/curves.py": {"compare"},
        "stages/compare/page/templates/report.css": {"compare"},
        "stages/preprocess/figures.py": {"preprocess"},
        "stages/shared/figures/style.py": {"preprocess", "compare", *(f"explain@{key}" for key in MEMBERS)},
    }.items():
        path = finished.folder / name
        shutil.copy2(path, tmp_path / "before")
        path.write_text(path.read_text() + "\n")
        assert json.loads(finished.dvc("status", "--json")).keys() == stale, name
        shutil.copy2(tmp_path / "before", path)
    assert json.loads(finished.dvc("status", "--json")) == {}


def test_what_a_search_writes_makes_only_the_models_of_its_target_stale(finished, monkeypatch):
    from stages.params_file import overlay, rewriting
    from stages.shared.core.paths import Key
    from stages.tune import space

    before = (finished.folder / "params.yaml").read_text()
    monkeypatch.chdir(finished.folder)
    with rewriting() as document:
        overlay(document, space.changes({"train.optimizer.lr": 0.00321}, Key("small_cnn", "fine_tune", "full")))
    status = json.loads(finished.dvc("status", "--json"))
    assert status.keys() == {"train@small_cnn-fine_tune-full"}
    assert status["train@small_cnn-fine_tune-full"] == [
        {"changed deps": {"params.yaml": {"strategies.fine_tune": "modified"}}}
    ]
    (finished.folder / "params.yaml").write_text(before)
    assert json.loads(finished.dvc("status", "--json")) == {}


def test_an_edit_of_one_strategy_reruns_that_strategy_and_what_follows(finished):
    finished.edit({"strategies.fine_tune": {"backbone_lr": 0.05}})
    member = "small_cnn-fine_tune-full"
    assert finished.repro() == {
        f"train@{member}",
        f"evaluate@{member}",
        f"embed@{member}",
        f"explain@{member}",
        "compare",
    }


def test_an_edit_of_explain_reruns_explain_and_compare(finished):
    finished.edit({"explain": {"choose": "confident"}})
    assert finished.repro() == {*(f"explain@{key}" for key in MEMBERS), "compare"}


def test_metrics_and_plots_are_dvcs(finished):
    shown = json.loads(finished.dvc("metrics", "show", "--json"))
    assert set(shown[""]["data"]["reports/compare/metrics.json"]["data"]["val_auroc"]) == set(MEMBERS)
    difference = json.loads(finished.dvc("metrics", "diff", "--all", "--json", "HEAD"))
    assert "val_auroc.small_cnn-fine_tune-full" in difference["reports/compare/metrics.json"]
    finished.dvc("plots", "show", "-o", "dvc_plots")
    assert "vega" in (finished.folder / "dvc_plots/index.html").read_text().lower()


def test_an_added_backbone_trains_alone_and_a_removed_strategy_leaves_the_comparison(finished):
    twin = {"source": "lightbox", "name": "small_cnn", "weights": "none"}
    finished.edit(
        {"backbones": {"twin": twin}, "matrix": {"backbone": ["small_cnn", "twin"], "strategy": ["from_scratch"]}}
    )
    new = "twin-from_scratch-full"
    assert finished.repro() == {f"train@{new}", f"evaluate@{new}", f"embed@{new}", f"explain@{new}", "compare"}
    assert leaderboard(finished) == {"small_cnn-from_scratch-full", new}


def test_a_removed_backbone_leaves_the_comparison(finished):
    finished.edit({"matrix": {"backbone": ["small_cnn"]}})
    assert finished.repro() == {"compare"}
    assert leaderboard(finished) == {"small_cnn-from_scratch-full"}
    finished.git("add", "-A")
    finished.git("commit", "-qm", "one model")


def experiments(clone):
    """name -> (train.epochs, AUROC) of every experiment on HEAD."""
    text = clone.dvc("exp", "show", "--csv")
    rows = list(csv.DictReader(text[text.index("Experiment,") :].splitlines()))
    epochs = next(column for column in rows[0] if column.endswith("train.epochs"))
    auroc = next(column for column in rows[0] if column.endswith("chosen.val_auroc"))
    return {row["Experiment"]: (row[epochs], row[auroc]) for row in rows if row["Experiment"]}


def test_experiments_in_the_workspace_in_a_copy_and_in_a_queue_with_two_workers(finished):
    finished.dvc("exp", "run", "-n", "here", "-S", "train.epochs=1")
    finished.git("checkout", "-q", "--", ".")
    finished.dvc("checkout")
    finished.dvc("exp", "run", "-n", "apart", "--temp", "-S", "compare.samples=3", **OWN_PROCESS)
    finished.dvc("exp", "run", "--queue", "-S", "train.epochs=4,5")
    finished.dvc("queue", "start", "--jobs", "2", **OWN_PROCESS)
    deadline = time.monotonic() + 300
    while re.search("Queued|Running", status := finished.dvc("queue", "status")):
        assert time.monotonic() < deadline, status
        time.sleep(2)
    assert status.count("Success") == 2, status + finished.dvc("queue", "logs", status.split()[5], check=False)
    found = experiments(finished)
    assert found.keys() >= {"here", "apart"}
    assert sorted(epochs for epochs, _ in found.values()) == ["1", "2", "4", "5"]
    assert all(auroc for _, auroc in found.values())


def test_every_mode_wrote_to_the_store_at_the_root_below_its_own_parent(finished):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{finished.folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("lightbox")
    assert experiment.artifact_location == (finished.folder / "mlartifacts").as_uri()
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    parents = {
        run.info.run_id: (run.info.run_name, run.data.tags["settings"])
        for run in found
        if run.data.tags["stage"] == "experiment"
    }
    assert {name for name, _ in parents.values()} >= {"here", "apart"}
    assert len(set(parents.values())) == len(parents)
    children = [run for run in found if run.info.run_id not in parents]
    assert all(run.data.tags["mlflow.parentRunId"] in parents for run in children)
    assert {run.info.status for run in found} == {"FINISHED"}
    assert not list((finished.folder / ".dvc" / "tmp").rglob("mlflow.db"))


def test_in_mlflow_all_models_rank_by_auroc_with_every_hyperparameter_beside(finished):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{finished.folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("lightbox").experiment_id
    ranked = client.search_runs([experiment], "tags.stage = 'evaluate'", order_by=["metrics.`val/auroc` DESC"])
    scores = [run.data.metrics["val/auroc"] for run in ranked]
    assert scores == sorted(scores, reverse=True)
    for run in ranked:
        low, value, high = (run.data.metrics[f"test/auroc{end}"] for end in ("_low", "", "_high"))
        assert low <= value <= high
        assert {
            "train.optimizer.lr",
            "train.epochs",
            "train.strategy.plan",
            "evaluate.bootstrap",
        } <= run.data.params.keys()
        assert {"key", "backbone", "strategy", "sample", "commit"} <= run.data.tags.keys()
    (trained, *_) = client.search_runs([experiment], "tags.stage = 'train'")
    assert len(client.get_metric_history(trained.info.run_id, "val/loss")) == trained.data.metrics["cost/epochs"]
    (validated, *_) = client.search_runs([experiment], "tags.stage = 'validate'")
    assert validated.inputs.dataset_inputs[0].dataset.name == "raw images"
    (compared, *_) = client.search_runs([experiment], "tags.stage = 'compare'")
    study = client.get_run(compared.data.tags["mlflow.parentRunId"])
    assert "val/auroc" in study.data.metrics
    assert study.data.params["train.epochs"]
    assert study.inputs.dataset_inputs[0].dataset.name == "all images"
    figures = {file.path for file in client.list_artifacts(compared.info.run_id, "figures")}
    assert {"figures/index.html", "figures/histories.png", "figures/confusion.png", "figures/roc.png"} <= figures


def test_a_killed_training_loses_no_finished_stage_and_resumes(finished):
    finished.edit({"train": {"epochs": 40}})
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"], cwd=finished.folder, env={**finished.environment, **OWN_PROCESS},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    for line in process.stdout:
        if "epoch 3/40" in line:
            break
    subprocess.run(["pkill", "-KILL", "-g", str(process.pid)], check=False)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    (finished.folder / ".dvc/tmp/rwlock").unlink(missing_ok=True)  # what DVC asks for after it was killed itself
    member = "small_cnn-from_scratch-full"
    output = finished.dvc("repro")
    assert ran(output) == {f"train@{member}", f"evaluate@{member}", f"embed@{member}", f"explain@{member}", "compare"}
    assert "resuming from" in output
    assert "epoch 1/40" not in output
