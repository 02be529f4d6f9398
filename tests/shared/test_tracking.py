"""Runs as MLflow's own client finds them, written through the worker process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from stages.shared.core.environment import commit
from stages.shared.core.errors import UserError
from stages.shared.core.job import Result
from stages.shared.core.paths import Key
from stages.shared.tracking import ui
from stages.shared.tracking.recording import recording

pytestmark = pytest.mark.e2e
KEY = Key("resnet18", "fine_tune", "full")


@pytest.fixture
def root(workspace, monkeypatch, repository):
    """A project root with a fresh store; the worker finds this code."""
    monkeypatch.setenv("PYTHONPATH", str(repository))
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_EXP_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return workspace


def runs(root):
    """All runs in the store, oldest first."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("lightbox")
    return client, client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])


def test_a_stage_is_one_run_below_its_experiments_run(root, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "brisk-owl")
    (root / "curve.png").write_bytes(b"png")
    for stage in ("train", "evaluate"):
        with recording(stage, KEY, {"train": {"epochs": 3, "optimizer": {"lr": 0.1}}}) as recorder:
            recorder.report({"val_loss": 0.5}, 0)
            recorder.report({"val_loss": 0.4}, 1)
            recorder.result = Result({"test_auroc": 0.9, "test_auroc_low": 0.8}, figures=(root / "curve.png",))
    client, rows = runs(root)
    parent, train, evaluate = rows
    assert [run.info.run_name for run in rows] == [
        "brisk-owl", "fine_tune, full, resnet18: train", "fine_tune, full, resnet18: evaluate",
    ]  # fmt: skip
    for child in (train, evaluate):
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.info.status == "FINISHED"
    expected = {"stage": "train", "key": str(KEY), **vars(KEY), "dvc_experiment": "brisk-owl"}
    assert expected.items() <= train.data.tags.items()
    assert train.data.params == {"train.epochs": "3", "train.optimizer.lr": "0.1"}
    assert evaluate.data.metrics["test_auroc_low"] == 0.8
    assert [m.value for m in client.get_metric_history(train.info.run_id, "val_loss")] == [0.5, 0.4]
    assert [f.path for f in client.list_artifacts(train.info.run_id, "figures")] == ["figures/curve.png"]
    assert (root / "mlartifacts").is_dir()


def test_a_trial_of_a_search_is_a_run_below_that_of_the_search(root):
    with recording("tune", KEY, {"tune": {"trials": 2}}) as recorder:
        recorder.part("search 0", {"train.optimizer.lr": 0.1}, {"value": 0.8}, {"so_far": [0.7, 0.8]})
        recorder.part("search 1", {"train.optimizer.lr": 0.2}, {}, {"so_far": []})
    client, rows = runs(root)
    search = next(run for run in rows if run.data.tags["stage"] == "tune")
    first, second = sorted(
        (run for run in rows if run.data.tags["stage"] == "tune_part"), key=lambda run: run.info.run_name
    )
    for trial in (first, second):
        assert trial.data.tags["mlflow.parentRunId"] == search.info.run_id
        assert trial.info.status == "FINISHED"
    assert first.data.params == {"train.optimizer.lr": "0.1"}
    assert first.data.metrics["value"] == 0.8
    assert [m.value for m in client.get_metric_history(first.info.run_id, "so_far")] == [0.7, 0.8]
    assert search.info.status == "FINISHED"


def test_a_study_has_its_settings_and_what_a_result_says_of_the_whole(root):
    settings = {"seed": 0, "train": {"epochs": 3}}
    images = pd.DataFrame({"path": ["a.png", "b.png"], "label": ["normal", "sick"], "patient": ["p1", "p2"], "fold": 0})
    with recording("train", KEY, {}, settings, "Train one model.") as recorder:
        recorder.result = Result({"cost/seconds": 2.0}, datasets={"training": images, "validation": images[:1]})
    with recording("compare", None, {}, settings) as recorder:
        recorder.result = Result({"val/auroc": 0.9}, datasets={"all": images}, of_study=True)
    with recording("download", None, {}, {**settings, "seed": 1}):
        pass
    client, (study, train, _, other, _) = runs(root)
    assert study.data.params == {"seed": "0", "train.epochs": "3"}
    assert other.data.params["seed"] == "1"  # other settings, another study
    assert study.data.metrics == {"val/auroc": 0.9}
    assert datasets(study) == {("all images", "all", 2)}
    assert datasets(train) == {("training images", "training", 2), ("validation images", "validation", 1)}
    assert train.data.tags["mlflow.source.name"] == "python -m stages train"
    assert train.data.tags["mlflow.note.content"] == "Train one model."
    experiment = client.get_experiment(study.info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_studies_of_other_images_have_other_names(root):
    for title in ("segmentation, phantom", "classification, kaggle owner/films"):
        with recording("download", None, {}, {"title": title}, "", title):
            pass
    _, found = runs(root)
    parents = [run.info.run_name for run in found if run.data.tags["stage"] == "experiment"]
    assert sorted(parents) == [
        "classification, kaggle owner/films, workspace@no commit", "segmentation, phantom, workspace@no commit",
    ]  # fmt: skip


def datasets(run):
    """(name, use, images) of each data set that a run used."""
    return {
        (entry.dataset.name, entry.tags[0].value, json.loads(entry.dataset.profile)["num_rows"])
        for entry in run.inputs.dataset_inputs
    }


def test_the_ui_opens_on_the_models_and_leaves_no_process(root):
    with recording("evaluate", KEY, {}) as recorder:
        recorder.result = Result({"val/auroc": 0.9})
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "stages", "ui", "--port", str(port)], cwd=root, stdout=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    assert "/#/experiments/1/runs?workflowType=machine_learning&searchFilter=tags.stage%20%3D%20%22evaluate%22" in line
    (server,) = psutil.Process(process.pid).children()
    workers = server.children(recursive=True)
    assert not any("huey" in " ".join(worker.cmdline()) for worker in workers)
    process.send_signal(signal.SIGINT)
    process.wait(30)
    assert not any(one.is_running() for one in (server, *workers))


def test_the_ui_says_what_is_missing(root):
    with pytest.raises(UserError, match=r"no runs yet.*make run"):
        ui.show(free_port())
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        (root / "mlflow.db").touch()
        with pytest.raises(UserError, match="is in use"):
            ui.show(other.getsockname()[1])
    with pytest.raises(UserError, match="--port: 99999: give 1 to 65535"):
        ui.show(99999)
    (root / "mlflow.db").write_text("no database, but long enough to be read as one" * 100)
    with pytest.raises(UserError, match="MLflow cannot write to its database"):
        ui.show(free_port())


def test_the_commit_is_a_tag_and_names_the_run_without_an_experiment(root):
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    with recording("download", None, {}):
        pass
    _, (parent, child) = runs(root)
    assert parent.info.run_name == f"workspace@{commit[:9]}"
    assert child.data.tags["commit"] == commit


def test_without_the_git_program_the_commit_is_unknown_and_that_is_said(root, monkeypatch, capfd):
    monkeypatch.setenv("PATH", str(root))
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    assert commit() is None
    assert "git is not installed" in capfd.readouterr().err


def test_system_metrics_are_on(root):
    """A stage that lasts until the first reading is there."""
    with recording("download", None, {}):
        wait_until(lambda: query(root, "SELECT key FROM latest_metrics WHERE key LIKE 'system/cpu%'"))


def test_a_stage_that_raises_is_a_failed_run_and_its_own_error_comes_through(root):
    with pytest.raises(ZeroDivisionError), recording("download", None, {}):
        _ = 1 / 0
    _, found = runs(root)
    assert {run.info.status for run in found} == {"FAILED"}


def start(code, **environment):
    prelude = "from stages.shared.tracking.recording import recording\nfrom stages.shared.core.job import Result\nimport sys, time\n"
    return subprocess.Popen([sys.executable, "-c", prelude + code], env={**os.environ, **environment})


def test_a_stage_killed_by_sigkill_is_a_failed_run(root):
    process = start("with recording('train', None, {}) as r: time.sleep(90)")
    wait_until(lambda: len(statuses(root)) == 2)
    process.send_signal(signal.SIGKILL)
    wait_until(lambda: statuses(root) == ["FAILED", "FAILED"])


def statuses(root):
    return [row[0] for row in query(root, "SELECT status FROM runs")]


def query(root, sql):
    """Straight from the file: while the worker is starting, its tables may not be there yet."""
    import sqlite3

    if not (root / "mlflow.db").exists():
        return []
    with sqlite3.connect(root / "mlflow.db") as store:
        try:
            return store.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []


def wait_until(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_stage_that_dies_while_the_store_opens_leaves_no_finished_run(root):
    process = start("with recording('train', None, {}) as r: time.sleep(90)")
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    wait_until(lambda: not worker_alive(root))
    assert set(statuses(root)) <= {"FAILED"}


def worker_alive(root):
    """The worker, and what Python starts beside it, work in the folder of the stage that started them."""
    import psutil

    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.cwd() == str(root):
                return True
        except psutil.Error:
            continue
    return False


def test_a_param_may_be_called_what_a_class_is_called(root):
    with recording("validate", None, {"classes": {"pneumonia (viral)": "a", "ÖDEM": "b"}}):
        pass
    _, (_, child) = runs(root)
    assert child.data.params == {"classes.pneumonia _viral_": "a", "classes.ÖDEM": "b"}


def test_four_processes_on_a_fresh_store_lose_nothing(root):
    code = """
with recording("train", None, {"number": int(sys.argv[0] == "-c")}) as recorder:
    for step in range(20):
        recorder.report({"loss": 1 / (step + 1)}, step)
    recorder.result = Result({"done": 1.0})
"""
    processes = [start(code, DVC_EXP_NAME="together") for _ in range(4)]
    assert [process.wait(timeout=180) for process in processes] == [0] * 4
    client, found = runs(root)
    assert sorted(run.info.run_name for run in found) == ["together", *["train"] * 4]
    for run in found[1:]:
        assert run.data.metrics["done"] == 1.0
        assert len(client.get_metric_history(run.info.run_id, "loss")) == 20


def test_an_inherited_run_id_is_not_written_into(root, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123456789abcdef0123456789abcdef")
    with recording("download", None, {}):
        pass
    _, found = runs(root)
    assert [run.info.run_name for run in found] == ["workspace@no commit", "download"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "http://127.0.0.1:9",
            r"MLFLOW_TRACKING_URI=http://127\.0\.0\.1:9: the server does not answer .*Nothing has been computed",
        )
    ],
)
def test_an_unreachable_server_fails_before_any_work(root, monkeypatch, uri, message):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    begun = False
    with pytest.raises(UserError, match=message), recording("train", KEY, {}):
        begun = True
    assert not begun
    assert not (root / "mlflow.db").exists()


def test_something_that_is_no_mlflow_server_is_told_apart(root, monkeypatch):
    import http.server
    import threading

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        with (
            pytest.raises(UserError, match=r"no MLflow server there \(HTTP 501\)"),
            recording("train", KEY, {}),
        ):
            pass
        server.shutdown()


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_real_server_gets_runs_and_artifacts(root, monkeypatch):
    from mlflow import MlflowClient

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{root / 'server.db'}", "--artifacts-destination", str(root / "served")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(f"{address}/health")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        (root / "curve.png").write_bytes(b"png")
        with recording("evaluate", KEY, {"a": 1}) as recorder:
            recorder.result = Result({"test_auroc": 0.9}, figures=(root / "curve.png",))
        client = MlflowClient(address)
        experiment = client.get_experiment_by_name("lightbox").experiment_id
        (child,) = client.search_runs([experiment], "tags.stage = 'evaluate'")
        assert child.data.metrics["test_auroc"] == 0.9
        assert list(Path(root / "served").rglob("curve.png"))
        assert not (root / "mlflow.db").exists()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def wait_for(url, seconds=90):
    import urllib.request

    deadline = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(url, timeout=2)
        except OSError:
            assert time.monotonic() < deadline, f"{url} did not come up"
            time.sleep(0.5)


def test_one_worker_serves_stages_that_overlap_until_the_last_has_ended(root, monkeypatch):
    code = "import sys; from stages.shared.tracking.worker import listen; listen(sys.argv[1], sys.argv[2], 0)"
    address = str(root / "worker")
    worker = subprocess.Popen(
        [sys.executable, "-c", code, address, f"sqlite:///{root / 'mlflow.db'}"], stdin=subprocess.PIPE
    )
    wait_until(lambda: Path(address).exists())
    monkeypatch.setenv("LIGHTBOX_MLFLOW", address)
    killed = start("with recording('explain', None, {}) as r: time.sleep(90)")
    with recording("train", KEY, {"a": 1}) as first:
        first.report({"loss": 0.5}, 0)
        with recording("evaluate", KEY, {}) as second:
            second.result = Result({"test_auroc": 0.9})
        with pytest.raises(ZeroDivisionError), recording("compare", None, {}):
            _ = 1 / 0
        wait_until(lambda: len(statuses(root)) == 5)
        killed.kill()
        worker.stdin.close()
        assert worker.poll() is None
        first.report({"loss": 0.4}, 1)
    assert worker.wait(timeout=30) == 0
    client, found = runs(root)
    ended = {run.data.tags["stage"]: run for run in found}
    assert {name: ended[name].info.status for name in ("train", "evaluate", "compare", "explain")} == {
        "train": "FINISHED", "evaluate": "FINISHED", "compare": "FAILED", "explain": "FAILED",
    }  # fmt: skip
    assert [m.value for m in client.get_metric_history(ended["train"].info.run_id, "loss")] == [0.5, 0.4]
    assert ended["evaluate"].data.metrics["test_auroc"] == 0.9
