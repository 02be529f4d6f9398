"""python -m stages.parallel.server FD: imports what the stages import, once, and forks a process for each command.

Half of a short study is otherwise spent in imports: torch, Lightning and MLflow take seconds in each of its processes.
A fork has them at once. The server lives as long as the command that started it and computes nothing. The threads that
imports leave, of OpenBLAS and Arrow, are idle, and these libraries prepare themselves for a fork. So a fork is what a
fresh process would be. Where the server cannot offer that, the client runs the command itself: when code has changed
since, in another folder, with another number of threads, or when the server is gone.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..shared.tracking.store import QUIET, WORKER, store
from ..study import STAGES
from .client import ACCEPTED, ADDRESS, LENGTH
from .machine import THREADS

COMMANDS = "stages.commands"
RUNS = "stages.shared.tracking.worker"
MODULES = (
    COMMANDS,
    RUNS,
    *(f"stages.{stage}.stage" for stage in STAGES),
    # what these import only when they use it, which every fork would do again
    "albumentations",
    "matplotlib.backends.backend_agg",
    "omegaconf",
    "pyarrow.dataset",
    "pyarrow.pandas_compat",
    "pyarrow.parquet",
    "ruamel.yaml",
    "stages.shared.arrays.transforms",
    "stages.shared.tracking.package",
    "stages.shared.tracking.recording",
)
PATIENCE = 10.0  # seconds for a client to send its request, and for the server to end
LONGEST = 80  # bytes of the name of a folder for temporary files; with a socket's name Linux takes 107
Code = dict[str, tuple[int, int]]  # path -> time of the last change, size


@contextmanager
def running(environment: Mapping[str, str], modules: Sequence[str]) -> Iterator[dict[str, str]]:
    """A server in this environment until the end of the block; gives the environment in which clients find it."""
    if sys.platform != "linux":  # on macOS a fork of a process that has imported Apple's libraries crashes
        yield dict(environment)
        return
    short = None if len(os.fsencode(tempfile.gettempdir())) <= LONGEST else "/tmp"
    with tempfile.TemporaryDirectory(prefix="lightbox-", dir=short) as folder:  # nobody else may look into it
        address = f"{folder}/server"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen(64)
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(listener.fileno()), *modules],
                env={**environment, WORKER: f"{folder}/mlflow"},
                stdin=subprocess.PIPE,  # closes when this process ends, however it does
                pass_fds=[listener.fileno()],
                process_group=0,
            )
        try:
            yield {**environment, ADDRESS: address, WORKER: f"{folder}/mlflow"}
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=PATIENCE)
        finally:
            process.terminate()
            process.wait()


def main(descriptor: str, *modules: str) -> None:
    # MLflow and albumentations read it while they are imported
    os.environ.update({**QUIET, "NO_ALBUMENTATIONS_UPDATE": "1", **os.environ})
    # whether there is a GPU is asked without starting CUDA, which a fork could not use then
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    # Python 3.12 warns at every fork of a process with threads; of these, see above
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    with socket.socket(fileno=int(descriptor)) as listener:
        os.register_at_fork(after_in_child=listener.close)
        serve(listener, modules)


def serve(listener: socket.socket, modules: Sequence[str]) -> None:
    """Import the modules and fork until the process that started this one has ended or wants no more."""
    code = code_now()
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # the collector then leaves alone the memory that forks share
    # after the imports, for a model is logged with torch; before there are clients, whose files it would keep open
    lifeline = start_worker() if RUNS in modules else None
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        reap(os.WNOHANG)
        if sys.stdin in ready:
            listener.close()
            if lifeline is not None:
                os.close(lifeline)
            reap()
            return
        if listener in ready:
            connection, _ = listener.accept()
            with connection:
                answer(connection, code)


def reap(options: int = 0) -> None:
    """Take the exit codes of forks that have ended; by default wait until all have."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def code_now() -> Code:
    code: Code = {}
    for path in Path(__file__).parents[1].rglob("*.py"):
        with suppress(FileNotFoundError):  # an editor's lock file, or one that has just gone
            info = path.stat()
            code[str(path)] = info.st_mtime_ns, info.st_size
    return code


def start_worker() -> int:
    """A fork that writes all runs to MLflow. It ends when the file that this returns is closed, here and in the forks,
    and all runs have ended."""
    lifeline, ours = os.pipe()
    if os.fork() == 0:
        os.close(ours)
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            os.setsid()  # what ends a stage is not to end the worker, which then has to mark the run
            os.dup2(2, 1)
            os.environ.pop("MLFLOW_RUN_ID", None)
            sys.modules[RUNS].listen(os.environ[WORKER], store()[0], lifeline)
        except BaseException:
            traceback.print_exc()  # each stage then starts a worker of its own
        finally:
            os._exit(0)
    os.close(lifeline)
    return ours


def answer(connection: socket.socket, code: Code) -> None:
    """Fork for one client, or leave it without an answer: it then runs its command itself."""
    try:
        connection.settimeout(PATIENCE)
        arguments, folder, environment, files = receive(connection)
        connection.settimeout(None)
    except (OSError, ValueError):
        return
    same = folder == os.getcwd() and all(environment.get(name) == os.environ.get(name) for name in THREADS)
    if same and code_now() == code and os.fork() == 0:
        run(connection, arguments, environment, files)
    for file in files:
        os.close(file)


def receive(connection: socket.socket) -> tuple[list[str], str, dict[str, str], list[int]]:
    """(arguments, working directory, environment, stdin and stdout and stderr) of a client."""
    head, files, _, _ = socket.recv_fds(connection, LENGTH.size, 3)
    try:
        if len(head) < LENGTH.size or len(files) < 3:
            raise ValueError("the client has ended before it said what it wants")
        (size,) = LENGTH.unpack(head)
        with connection.makefile("rb", buffering=0) as stream:
            body = b""
            while len(body) < size and (part := stream.read(size - len(body))):
                body += part
        return (*json.loads(body), files)
    except BaseException:
        for file in files:
            os.close(file)
        raise


def run(connection: socket.socket, arguments: Sequence[str], environment: Mapping[str, str], files: list[int]) -> None:
    """In the fork: become the client, run its command, and end."""
    code = 1
    try:
        os.setpgid(0, 0)
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.environ.clear()
        os.environ.update(environment)
        del os.environ[ADDRESS]  # what this process starts may be of another kind
        sys.argv[1:] = arguments
        # further processes of a training, or of a pool, are started by this name
        sys.modules["__main__"].__spec__ = importlib.util.find_spec("stages.__main__")
        os.register_at_fork(after_in_child=connection.close)
        threading.Thread(target=follow, args=(connection,), daemon=True).start()
        connection.sendall(ACCEPTED)
        code = sys.modules[COMMANDS].main(arguments)
    except SystemExit as end:  # of argparse
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            with suppress(OSError):  # nobody listens any more
                atexit._run_exitfuncs()
                sys.stdout.flush()
                sys.stderr.flush()
                connection.sendall(bytes([code]))
        finally:  # also at a signal in these lines: a fork never goes back to where the server was
            os._exit(code)


def follow(connection: socket.socket) -> None:
    """Pass the client's signals on; when it has ended before us, it was killed, and we end with all that we started."""
    with suppress(ConnectionResetError):  # it was killed before it read that we have accepted
        while number := connection.recv(1):
            signal.pthread_kill(threading.main_thread().ident or 0, number[0])
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # nothing is left to do, and nanobind takes the frozen memory of a library for a leak, in many lines
