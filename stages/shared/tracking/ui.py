"""The MLflow UI on the runs of this repository, opened where the models are."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import webbrowser
from pathlib import Path
from time import sleep
from urllib.parse import quote, urlencode

from ..core.errors import UserError
from ..core.paths import project_root
from .store import QUIET, check_usable, experiment_name

HOST = "127.0.0.1"
PATIENCE = 60  # seconds until the server has to answer
MODELS = {
    "workflowType": "machine_learning",
    "searchFilter": 'tags.stage = "evaluate"',
    "orderByKey": "metrics.`val/auroc`",
    "orderByAsc": "false",
    "compareRunsMode": "CHART",
}


def show(port: int) -> None:
    """Serve the local store until Ctrl-C; print the address of the models, and open it where there is a screen.

    Raises:
        UserError: there are no runs yet, their file is damaged, the port is taken or no port, or the server does not
            start.
    """
    if not 0 < port < 2**16:
        raise UserError(f"--port: {port}: give 1 to 65535.")
    database = project_root() / "mlflow.db"
    if not database.is_file():
        raise UserError(f"{database}: no runs yet. Make some with `make run` (or `dvc repro`).")
    check_usable(f"sqlite:///{database}")
    if answers(port):
        raise UserError(f"port {port} is in use. Take another one: python -m stages ui --port {port + 1}")
    server = start(database, port)
    try:
        address = models_address(database, port)
        wait_for(server, port)
        print(f"MLflow, all models: {address}\nCtrl-C ends it.", flush=True)
        if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
            webbrowser.open(address)
        server.wait()
    except KeyboardInterrupt:
        pass  # the way to end it
    finally:
        stop(server)


def start(database: Path, port: int) -> subprocess.Popen[bytes]:
    """The server and its workers are a process group of their own, so that all of them can be ended."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{database}"]
    jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # its queues are for GenAI evaluations
    return subprocess.Popen(
        [*command, "--host", HOST, "--port", str(port), "--workers", "1"],
        env={**QUIET, **jobs, **os.environ},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def stop(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(timeout=10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def models_address(database: Path, port: int) -> str:
    """Charts of the evaluated models. Without a metric to sort by, the UI shows their parents, collapsed."""
    from mlflow import MlflowClient

    experiment = experiment_name()
    entry = MlflowClient(f"sqlite:///{database}").get_experiment_by_name(experiment)
    if entry is None:
        raise UserError(f"{database}: no experiment {experiment} yet. Make it with `make run` (or `dvc repro`).")
    return f"http://{HOST}:{port}/#/experiments/{entry.experiment_id}/runs?{urlencode(MODELS, quote_via=quote)}"


def wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(10 * PATIENCE):
        if server.poll() is not None:
            raise UserError(f"MLflow's server ended with code {server.returncode}; its last lines are above.")
        if answers(port):
            return
        sleep(0.1)
    raise UserError(f"MLflow's server did not answer on port {port} within {PATIENCE} s.")


def answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex((HOST, port)) == 0
