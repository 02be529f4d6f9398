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
from pathlib import Path
from typing import Any

from ..core.environment import commit
from ..core.errors import UserError
from ..core.job import Result
from ..core.paths import Key
from .store import QUIET, check_reachable, experiment_name, store

DATASET_COLUMNS = ("path", "label", "patient")


class Recorder:
    """One MLflow run, written by the worker: reports go there at once, the result when the stage has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.result = Result()
        self._process, self._messages, self._answers = process, process.stdin, process.stdout

    def report(self, metrics: Mapping[str, float], step: int) -> None:
        self._send({"do": "metrics", "metrics": metrics, "step": step})

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            print(json.dumps(message, default=plain), file=self._messages, flush=True)
        except BrokenPipeError:  # the worker has ended; its last answer says why
            self._wait_for("finished")
            raise

    def _wait_for(self, state: str) -> None:
        """Read the worker's answers up to this one.

        Raises:
            UserError: MLflow refused, or the worker died.
        """
        for answer in map(json.loads, self._answers):
            if "error" in answer:
                raise UserError(answer["error"])
            if answer["state"] == state:
                return
        code = self._process.wait()
        raise UserError(f"MLflow's process ended with code {code} and no message; its last lines are above.")

    def _finish(self) -> None:
        self._send({name: value for name, value in vars(self.result).items() if name != "discard"} | {"do": "result"})
        self._wait_for("finished")
        self._process.wait()

    def _abandon(self) -> None:
        """The stage failed: let the worker record that; the stage's own error is what is shown."""
        try:
            self._messages.close()
            self._process.wait(timeout=60)
        except (BrokenPipeError, subprocess.TimeoutExpired) as error:
            print(f"MLflow: the run could not be marked as failed ({error!r}).", file=sys.stderr)
            self._process.kill()


def plain(value: Any) -> Any:
    """A path, a number of numpy's, or a table of images as JSON has it."""
    if isinstance(value, Path):
        return str(value)
    return value[list(DATASET_COLUMNS)].astype(str).to_dict("list") if hasattr(value, "columns") else float(value)


@contextmanager
def recording(
    stage: str, key: Key | None, params: Mapping[str, Any], study: Mapping[str, Any] | None = None, about: str = ""
) -> Iterator[Recorder]:
    """A run for one execution of a stage: FINISHED with the recorder's result, or FAILED if the block raises.

    study: settings of the study that the run belongs to. about: what the stage does.

    Raises:
        UserError: the tracking server cannot be reached, before any work is done.
    """
    uri, artifacts = store()
    check_reachable(uri)
    recorder = Recorder(_start_worker(uri))
    revision, experiment = commit(), os.environ.get("DVC_EXP_NAME")
    identity = {"commit": revision, "dvc_experiment": experiment}  # ties a run to git and DVC
    try:
        recorder._send(
            {
                "experiment": experiment_name(),
                "artifacts": artifacts,
                "parent": experiment or f"workspace@{(revision or 'no commit')[:9]}",
                "identity": {name: value for name, value in identity.items() if value},
                "stage": stage,
                "key": vars(key) if key else None,
                "params": params,
                "study": study or {},
                "about": about,
            }
        )
        if not uri.startswith("sqlite:"):
            recorder._wait_for("started")  # a server can refuse in many ways: know it before an hour of training
        yield recorder
    except BaseException:
        recorder._abandon()
        raise
    recorder._finish()


def _start_worker(uri: str) -> subprocess.Popen[str]:
    environment = {**QUIET, **os.environ, "MLFLOW_TRACKING_URI": uri}
    environment.pop("MLFLOW_RUN_ID", None)  # else the first stage would write into somebody else's run
    return subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # a Ctrl-C is for the stage; the worker stays to mark the run
    )
