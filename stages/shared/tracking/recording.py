"""A stage's side of MLflow: open a run, report curves, hand over the result.

Importing MLflow and opening its store takes about as long as a short stage takes in all. So a process of its own does
it (`worker`), and gets messages through a socket or a pipe: one process for all stages under `make run`, otherwise one
that starts up while the stage does. When the stage dies, even by SIGKILL, the connection closes, and the worker marks
the run FAILED.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection
from typing import Any

from ..core.environment import commit
from ..core.errors import UserError
from ..core.job import Result
from ..core.paths import Key
from .store import QUIET, WORKER, check_usable, experiment_name, store

DATASET_COLUMNS = ["path", "label", "patient"]
PATIENCE = 60  # seconds that the worker has to mark a run as failed


class Recorder:
    """One MLflow run, written by the worker: reports go there at once, the result when the stage has ended."""

    def __init__(self, worker: Connection) -> None:
        self.result = Result()
        self._worker = worker
        os.register_at_fork(after_in_child=worker.close)  # the connection is to close when this process dies

    def report(self, metrics: Mapping[str, float], step: int) -> None:
        self._send({"metrics": dict(metrics), "step": step})

    def part(
        self, name: str, params: Mapping[str, Any], metrics: Mapping[str, float], curve: Mapping[str, Sequence[float]]
    ) -> None:
        """A run below this one, of a part of the work that has ended, as a trial of a search. curve: values of each
        step."""
        self._send({"part": name, "params": dict(params), "metrics": dict(metrics), "curve": dict(curve)})

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._worker.send(message)
        except BrokenPipeError:  # the worker has ended; its last answer says why
            self._wait_for("finished")
            raise

    def _wait_for(self, state: str) -> None:
        """Read the worker's answers up to this one.

        Raises:
            UserError: MLflow refused, or the worker died.
        """
        answer = ""
        while answer != state:
            try:
                answer, error = self._worker.recv()
            except (EOFError, ConnectionResetError):
                raise UserError("MLflow's process has ended without a message; its last lines are above.") from None
            if error:
                raise UserError(error)

    def _finish(self) -> None:
        tables = {use: rows[DATASET_COLUMNS].astype(str).to_dict("list") for use, rows in self.result.datasets.items()}
        result = {**vars(self.result), "metrics": dict(self.result.metrics), "datasets": tables}
        self._send({name: value for name, value in result.items() if name != "discard"})
        self._wait_for("finished")

    def _abandon(self) -> None:
        """The stage failed: let the worker record that; the stage's own error is what is shown."""
        with suppress(OSError, EOFError):  # the worker has ended
            self._worker.send(None)
            while self._worker.poll(PATIENCE):
                if "finished" in self._worker.recv():
                    return
            print(f"MLflow: the run could not be marked as failed in {PATIENCE} s.", file=sys.stderr)


@contextmanager
def recording(
    stage: str,
    key: Key | None,
    params: Mapping[str, Any],
    study: Mapping[str, Any] | None = None,
    about: str = "",
    title: str = "",
) -> Iterator[Recorder]:
    """A run for one execution of a stage: FINISHED with the recorder's result, or FAILED if the block raises.

    study: settings of the study that the run belongs to. about: what the stage does. title: of the study, its task
    and its images, by which its run is told from those of other studies; a DVC experiment has a name of its own.

    Raises:
        UserError: the tracking server or the database cannot be used, before any work is done.
    """
    uri, _ = store()
    check_usable(uri)
    recorder = Recorder(worker_for(uri))
    try:
        recorder._send(first_message(stage, key, params, study, about, title))
        if not uri.startswith("sqlite:"):
            recorder._wait_for("started")  # a server can refuse in many ways: know it before an hour of training
        yield recorder
    except BaseException:
        recorder._abandon()
        raise
    recorder._finish()


def first_message(
    stage: str, key: Key | None, params: Mapping[str, Any], study: Mapping[str, Any] | None, about: str, title: str
) -> dict[str, Any]:
    """What opens a run (worker.py: open_run); see `recording`."""
    revision, experiment = commit(), os.environ.get("DVC_EXP_NAME")
    workspace = f"workspace@{(revision or 'no commit')[:9]}"
    identity = {"commit": revision, "dvc_experiment": experiment}  # ties a run to git and DVC
    return {
        "experiment": experiment_name(),
        "artifacts": store()[1],
        "parent": experiment or ", ".join(filter(None, [title, workspace])),
        "identity": {name: value for name, value in identity.items() if value},
        "stage": stage,
        "key": vars(key) if key else None,
        "params": params,
        "study": study or {},
        "about": about,
    }


def worker_for(uri: str) -> Connection:
    """A connection to the worker of all stages, if there is one, or to a new one."""
    if address := os.environ.get(WORKER):
        with suppress(OSError):
            return Client(address, "AF_UNIX")
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(theirs, uri))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # a Ctrl-C is for the stage
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return ours


def work(stage: Connection, uri: str) -> None:
    """What a worker's process does."""
    os.setsid()  # what ends the stage is not to end the worker, which then has to mark the run
    os.dup2(2, 1)  # what MLflow prints is no output of the stage
    os.environ.update({**QUIET, **os.environ})
    os.environ.pop("MLFLOW_RUN_ID", None)  # else the first stage would write into somebody else's run
    from .worker import prepare, serve

    prepare(uri)
    serve(stage)
