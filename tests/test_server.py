"""Stages as forks of a server that has imported everything: what a fork does, and how all of them end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.parallel import server

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="there is no server elsewhere"),
]

COMMANDS = """
import os, sys, subprocess, time

def main(arguments):
    command, *rest = arguments
    if command == "fail":
        raise SystemExit(3)
    if command == "facts":
        print(os.getcwd(), os.environ.get("COLOUR"), sys.stdin.readline().strip(), *rest)
        print("to stderr", file=sys.stderr)
        return 7
    if command == "wait":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        try:
            print(os.getpid(), child.pid, flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            child.kill()
            return 130
    if command == "die":
        os.kill(os.getpid(), 9)
    return 0
"""


@pytest.fixture(scope="module")
def project(repository, tmp_path_factory):
    """A copy of the code whose commands are those above, so that a test imports no torch."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(repository / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "stages/commands.py").write_text(COMMANDS)
    return folder


@pytest.fixture
def environment(project, monkeypatch):
    monkeypatch.chdir(project)
    with server.running(
        {**os.environ, "COLOUR": "red", "PYTHONPATH": str(project)}, ["stages.commands"]
    ) as environment:
        yield environment


def client(environment, *arguments, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([sys.executable, "-m", "stages", *arguments], env=environment, **options)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(*pids, seconds=10):
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))


def waiting(environment):
    """(client, pid of the fork, pid of the fork's child)"""
    process = client(environment, "wait")
    return process, *map(int, process.stdout.readline().split())


def server_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_fork_has_the_clients_folder_environment_and_files_and_gives_its_exit_code(environment, project):
    process = client({**environment, "COLOUR": "blue"}, "facts", "a b", "--c", stdin=subprocess.PIPE)
    out, err = process.communicate("a line\n")
    assert out == f"{project} blue a line a b --c\n"
    assert err == "to stderr\n"
    assert process.returncode == 7
    assert client(environment, "fail").wait() == 3


def test_a_command_that_is_killed_kills_its_client_so_that_dvc_sees_what_it_always_saw(environment):
    assert client(environment, "die").wait() == -signal.SIGKILL


def test_ctrl_c_reaches_the_fork(environment):
    process, fork, child = waiting(environment)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert gone(fork, child)


def test_a_client_that_is_killed_takes_the_fork_and_its_children_with_it(environment):
    process, fork, child = waiting(environment)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert gone(fork, child)


@pytest.mark.parametrize("request_", [b"", b"\0", b"\0\0\0\x09[]"])
def test_a_client_that_ends_before_it_has_said_what_it_wants_ends_nothing_else(environment, request_):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(environment[server.ADDRESS])
        if request_:
            socket.send_fds(connection, [request_], [0, 1, 2])
    process, fork, child = waiting(environment)
    assert fork != process.pid  # the server is there and has forked
    process.kill()
    process.wait()
    assert gone(fork, child)


def test_a_long_name_of_the_folder_for_temporary_files_does_not_matter(project, tmp_path, monkeypatch):
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    monkeypatch.setattr(server.tempfile, "tempdir", str(folder))
    monkeypatch.chdir(project)
    with server.running({**os.environ, "PYTHONPATH": str(project)}, ["stages.commands"]) as environment:
        process, fork, child = waiting(environment)
        assert fork != process.pid
        process.kill()
        process.wait()
        assert gone(fork, child)


def test_an_editors_lock_file_is_no_code(project, monkeypatch):
    lock = project / "stages/.#study.py"
    lock.symlink_to("user@host.1")
    monkeypatch.setattr(server, "__file__", str(project / "stages/parallel/server.py"))
    assert str(lock) not in server.code_now()
    lock.unlink()


def test_a_server_that_is_killed_ends_no_command_and_the_next_runs_by_itself(environment, project):
    process, fork, child = waiting(environment)
    parent = server_of(fork)
    os.kill(parent, signal.SIGKILL)
    assert gone(parent)
    assert alive(fork)
    out, _ = client(environment, "facts", stdin=subprocess.DEVNULL).communicate()
    assert out.startswith(str(project))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert gone(fork, child)


def test_the_server_ends_with_the_process_that_started_it(project):
    code = (
        "import os, sys, time; from stages.parallel import server\n"
        "with server.running(dict(os.environ), []) as environment:\n"
        "    print(environment[server.ADDRESS], flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=project, stdout=subprocess.PIPE, text=True)
    address = process.stdout.readline().strip()
    servers = children(process.pid)
    assert servers
    process.kill()
    process.wait()
    assert gone(*servers)
    shutil.rmtree(Path(address).parent)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("change", ["code", "folder", "threads"])
def test_a_command_that_a_fork_would_run_otherwise_runs_by_itself(environment, project, tmp_path, change):
    process, pid, child = waiting(environment)
    parent = server_of(pid)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=20)
    options = {}
    if change == "code":
        path = project / "stages/presets.py"
        path.write_text(path.read_text() + "\n# edited\n")
    elif change == "folder":
        options = {"cwd": tmp_path}
    else:
        environment = {**environment, "OMP_NUM_THREADS": "77"}
    process = client(environment, "wait", **options)
    pid, child = map(int, process.stdout.readline().split())
    assert pid == process.pid  # no fork of the server
    assert server_of(pid) != parent
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert gone(child)
