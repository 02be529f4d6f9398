"""What a worker does: clone the repository, pull the inputs of one model, run its stages, push the results.

The scheduler sends this module to workers by value (jobs.BY_VALUE), so beside another one that is sent like this it
imports only the standard library. A node needs git and a Python environment with the project's requirements, but no
copy of the project.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypedDict

from ...shared.core.credentials import without_credentials

STEP = "> dvc"
# several commands of DVC in one process, which is a second less for each
DVC = f"""
import json, sys
from dvc.cli import main
for step in json.loads(sys.argv[1]):
    print("{STEP}", *step, flush=True)
    if code := main(step):
        sys.exit(code)
"""
PACKAGES = ("torch", "dvc")  # of which a worker must have the head's version
OUTER = ("DVC_", "LIGHTBOX_", "SLURM_", "SUBMITIT_", "MLFLOW_RUN_ID", "RANK", "LOCAL_RANK", "WORLD_SIZE")
# DVC and all that it starts end when the standard input of this shell closes, which it does however the worker ends
LIFELINE = 'exec 3<&0; (read -r line; kill -KILL 0) <&3 >/dev/null 2>&1 & exec "$@" </dev/null 3<&-'


class Order(TypedDict):
    """What a worker has to know."""

    key: str
    repository: str
    commit: str
    targets: list[str]  # stages of DVC, in order
    inputs: list[str]  # files and folders to pull
    lock: str  # text of a dvc.lock that names the inputs
    config: str  # text of .dvc/config.local: the remote
    scratch: str | None
    threads: int
    versions: dict[str, str]
    environment: dict[str, str]


class Report(TypedDict):
    """How it ended. log: all that DVC and the stages have printed."""

    code: int
    log: str


class Refused(Exception):
    """This worker must not, or cannot, run the order."""


class Requeued:
    """`run` as submitit calls it: a job that is preempted or reaches its time limit is queued again."""

    def __call__(self, order: Order) -> Report:
        return run(order)

    def checkpoint(self, order: Order) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, order)


def run(order: Order) -> Report:
    """Do it all. What fails is in the report; only a worker that is killed leaves none."""
    log: list[str] = []
    say(log, f"{order['key']}: on {socket.gethostname()}\n")
    try:
        check_versions(order["versions"])
        with workplace(order, log) as folder:
            code = work(order, folder, log)
            if code == 0:
                shutil.rmtree(folder, ignore_errors=True)
    except (Refused, OSError) as error:
        say(log, f"error: {error}\n")
        code = 1
    return {"code": code, "log": "".join(log)}


def work(order: Order, folder: Path, log: list[str]) -> int:
    """The exit code of the first command that fails, else 0. Each stage is pushed when it is done, so that it is not
    lost with the worker."""
    steps = [["pull", *order["inputs"]]]
    for target in order["targets"]:
        steps += [["repro", "--single-item", target], ["push", "--run-cache", target]]
    code = call([sys.executable, "-c", DVC, json.dumps(steps)], folder, stage_environment(order), log)
    last = next((line[2:].rstrip() for line in reversed(log) if line.startswith(STEP)), "")
    if code and not last.startswith("dvc repro"):
        say(log, f"error: `{last}` failed. Can {socket.gethostname()} reach the remote?\n")
    return code


def versions() -> dict[str, str]:
    """Of Python and the packages that decide about results; without the build ("+cpu")."""
    own = {"python": ".".join(map(str, sys.version_info[:2]))}
    for package in PACKAGES:
        try:
            own[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            own[package] = "missing"
    return own


def check_versions(of_head: Mapping[str, str]) -> None:
    """Raises Refused when this environment is not the head's: results would depend on who made them."""
    own = versions()
    differ = [f"{name} {own[name]} (the head: {wanted})" for name, wanted in of_head.items() if own[name] != wanted]
    if differ:
        raise Refused(
            f"{socket.gethostname()} has {', '.join(differ)} in {sys.prefix}. Install the pins of requirements.txt on "
            "every node."
        )


@contextmanager
def workplace(order: Order, log: list[str]) -> Iterator[Path]:
    """A clone at the order's commit, for this worker alone. One that is there, of a worker that was killed or whose
    stage failed, is used again, and with it what was trained there.

    Raises:
        Refused: the commit cannot be cloned, the clone is at another one, or a worker is at work there.
    """
    scratch = Path(order["scratch"] or Path(tempfile.gettempdir()) / f"lightbox-{getpass.getuser()}").expanduser()
    folder = scratch / f"{order['commit'][:12]}-{order['key']}"
    (scratch / "files").mkdir(parents=True, exist_ok=True)
    with (scratch / f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"{folder}: another worker trains the same model here. Wait for it, or stop it.") from None
        if not folder.exists():
            clone(order, folder, log)
        check_clone(order, folder)
        (folder / "dvc.lock").write_text(order["lock"], encoding="utf-8")
        (folder / ".dvc/config.local").write_text(order["config"], encoding="utf-8")
        (folder / ".dvc/tmp/rwlock").unlink(missing_ok=True)  # of a worker that was killed
        files = folder / ".dvc/cache/files"
        if not files.is_symlink():  # the workers of a node share what they pull, but not the run-cache
            files.parent.mkdir(parents=True, exist_ok=True)
            files.symlink_to((scratch / "files").resolve())
        yield folder


def clone(order: Order, folder: Path, log: list[str]) -> None:
    """Under another name until it is whole."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    repository, commit = order["repository"], order["commit"]
    environment = stage_environment(order)
    if call(["git", "clone", "--quiet", "--no-checkout", repository, str(part)], folder.parent, environment, log):
        raise Refused(
            f"{repository}: cannot be cloned from {socket.gethostname()}. Set parallel.cluster.repository to a URL, or "
            "to a folder that every node can read."
        )
    if call(["git", "checkout", "--quiet", "--detach", commit], part, environment, log):
        raise Refused(f"{repository} does not have the head's commit {commit[:12]}. Push it (git push) and run again.")
    part.rename(folder)


def check_clone(order: Order, folder: Path) -> None:
    head = git_output(folder, "rev-parse", "HEAD")
    if head != order["commit"]:
        raise Refused(f"{folder} is at commit {head[:12]}, the head at {order['commit'][:12]}. Delete the folder.")
    if changed := git_output(folder, "status", "--porcelain", "--", ".", ":!dvc.lock", ":!reports"):
        raise Refused(f"{folder}: files differ from commit {head[:12]}:\n{changed}\nDelete the folder.")


def git_output(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"{folder}: git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def stage_environment(order: Order) -> dict[str, str]:
    """This process's, without what tells a stage of an outer run or scheduler: for a stage, this is one machine."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(OUTER)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{own.get('PATH', '')}"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(order["threads"]))
    ours = {"PATH": path, "PYTHONUNBUFFERED": "1", "LIGHTBOX_DEFER_SUMMARY": "1", "GIT_TERMINAL_PROMPT": "0"}
    return {**own, **threads, **ours, **order["environment"]}


def call(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: list[str]) -> int:
    """The exit code. What it prints goes to the log, and to the scheduler's."""
    process = subprocess.Popen(
        ["sh", "-c", LIFELINE, "sh", *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        for line in process.stdout:
            say(log, line)
        return process.wait()


def say(log: list[str], line: str) -> None:
    """Without the token of a repository or a remote, which git and DVC may name."""
    line = without_credentials(line)
    log.append(line)
    print(line, end="", flush=True)
