"""A stage's side of MLflow: open a run, report curves, hand over the result.

Importing MLflow and opening its store takes about as long as a short stage takes in all. So it lives in a process of
its own (`worker`), which starts up while the stage does, and gets JSON lines through a pipe. When the stage dies, even
by SIGKILL, the pipe closes and the worker marks the run FAILED.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..core.errors import UserError
from ..core.job import Result
from ..core.paths import Key, project_root
from .store import check_reachable, store

EXPERIMENT = "lightbox"


class Recorder:
    """One MLflow run, written by the worker: reports go there at once, the result when the stage has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.result = Result()
        self._process = process

    def report(self, metrics: Mapping[str, float], step: int) -> None:
        self._send({"do": "metrics", "metrics": {k: float(v) for k, v in metrics.items()}, "step": step})

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # the worker has ended; its last answer says why
            self._wait_for("finished")
            raise

    def _wait_for(self, state: str) -> None:
        """Read the worker's answers up to this one.

        Raises:
            UserError: MLflow refused, or the worker died.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            if "error" in answer:
                raise UserError(answer["error"])
            if answer["state"] == state:
                return
        code = self._process.wait()
        raise UserError(f"MLflow's process ended with code {code} and no message; its last lines are above.")

    def _finish(self) -> None:
        figures = [str(path) for path in self.result.figures]
        metrics = {name: float(value) for name, value in self.result.metrics.items()}
        files = {"model": self.result.model, "dataset": self.result.dataset}
        paths = {name: str(path) if path else None for name, path in files.items()}
        self._send({"do": "finish", "status": "FINISHED", "metrics": metrics, "figures": figures, **paths})
        self._wait_for("finished")
        self._process.wait()

    def _abandon(self) -> None:
        """The stage failed: let the worker record that; the stage's own error is what is shown."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(timeout=60)
        except (BrokenPipeError, subprocess.TimeoutExpired) as error:
            print(f"MLflow: the run could not be marked as failed ({error!r}).", file=sys.stderr)
            self._process.kill()


@contextmanager
def recording(stage: str, key: Key | None, params: Mapping[str, Any]) -> Iterator[Recorder]:
    """A run for one execution of a stage: FINISHED with the recorder's result, or FAILED if the block raises.

    Raises:
        UserError: the tracking server cannot be reached, before any work is done.
    """
    uri, artifacts = store()
    check_reachable(uri)
    recorder = Recorder(_start_worker(uri))
    try:
        recorder._send(_first_message(stage, key, params, artifacts))
        if not uri.startswith("sqlite:"):
            recorder._wait_for("started")  # a server can refuse in many ways: know it before an hour of training
        yield recorder
    except BaseException:
        recorder._abandon()
        raise
    recorder._finish()


def _first_message(stage: str, key: Key | None, params: Mapping[str, Any], artifacts: str | None) -> dict[str, Any]:
    return {
        "do": "start",
        "experiment": os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT,
        "artifacts": artifacts,
        "stage": stage,
        "key": vars(key) if key else None,
        "params": params,
        "dvc_experiment": os.environ.get("DVC_EXP_NAME"),
        "commit": _commit(),
        "lock": str(project_root() / ".lightbox" / "mlflow.lock"),
    }


def _start_worker(uri: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    environment.pop("MLFLOW_RUN_ID", None)  # else the first stage would write into somebody else's run
    environment.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    environment.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    environment.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    environment.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    return subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # a Ctrl-C is for the stage; the worker stays to mark the run
    )


def _commit() -> str | None:
    """The commit that the code and the params come from; None outside git. A queued experiment knows its own."""
    if baseline := os.environ.get("DVC_EXP_BASELINE_REV"):
        return baseline
    git = subprocess.run(
        ["git", "rev-parse", "--verify", "-q", "HEAD"], cwd=project_root(), capture_output=True, text=True, check=False
    )
    return git.stdout.strip() or None
