"""So many jobs at a time, and how all of them end.

An interruption is only written down when it comes. The loops look for it between two polls, so none can hit a process
that is being started and is not listed yet.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

from ..shared.core.paths import Key

POLL = 0.1  # seconds
PATIENCE = ((signal.SIGINT, 20.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))  # and seconds before the next
ECHO = 2.0  # seconds in which another interruption is the same one: `timeout` and some launchers send it twice
Interruptions = list[float]  # when each came


class Place(Protocol):
    """What a job has for as long as it runs."""

    @property
    def name(self) -> str: ...


P = TypeVar("P", bound=Place)


class Job(Protocol):
    """A process of this machine, or a task of a cluster."""

    def poll(self) -> int | None:
        """The exit code, or None."""

    def send_signal(self, number: int, /) -> None: ...


class Process(subprocess.Popen[bytes]):
    """In a process group of its own: a Ctrl-C in the terminal reaches only us, and we pass it to the whole group."""

    def send_signal(self, number: int, /) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(self.pid, number)


class Watcher(Protocol):
    """Is called when a model's job starts and ends."""

    def started(self, key: Key, place: Place) -> None: ...
    def finished(self, key: Key, place: Place, code: int, seconds: float) -> None: ...


@contextmanager
def interruptions() -> Iterator[Interruptions]:
    """Ctrl-C, SIGTERM and a closed terminal, written down until the end of the block. What was ignored (nohup) stays
    ignored."""
    received: Interruptions = []

    def note(*_: object) -> None:
        if not received or time.monotonic() > received[-1] + ECHO:
            received.append(time.monotonic())

    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def spawn(arguments: Sequence[str], environment: Mapping[str, str], output: Any = None) -> Process:
    """`output`: a file for stdout and stderr."""
    errors = None if output is None else subprocess.STDOUT
    return Process(arguments, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, process_group=0)


def run_all(
    keys: Iterable[Key],
    places: Iterable[P],
    start: Callable[[Key, P], Job],
    watcher: Watcher,
    received: Interruptions,
    poll: float = POLL,
) -> None:
    """Start a job per model, in order, as soon as a place is free.

    Raises:
        KeyboardInterrupt: an interruption came; all jobs have ended.
    """
    waiting, free = deque(keys), deque(places)
    running: list[tuple[Job, Key, P, float]] = []
    try:
        while waiting or running:
            if received:
                raise KeyboardInterrupt
            while waiting and free:
                key, place = waiting.popleft(), free.popleft()
                running.append((start(key, place), key, place, time.monotonic()))
                watcher.started(key, place)
            for entry in list(running):
                job, key, place, since = entry
                if (code := job.poll()) is not None:
                    running.remove(entry)
                    free.append(place)
                    watcher.finished(key, place, code, time.monotonic() - since)
            if running:
                time.sleep(poll)
    except BaseException:
        if running:
            with suppress(OSError):  # a terminal that was closed
                print(f"\nStopping {len(running)} running; each keeps its finished epochs.", file=sys.stderr)
        stop([job for job, *_ in running], received)
        raise


def wait(process: Process, received: Interruptions) -> int:
    """The exit code of the process.

    Raises:
        KeyboardInterrupt: an interruption came; the process has ended.
    """
    while (code := process.poll()) is None:
        if received:
            stop([process], received)
            raise KeyboardInterrupt
        time.sleep(POLL)
    return code


def stop(jobs: Sequence[Job], received: Interruptions, patience: Sequence[tuple[int, float]] = PATIENCE) -> None:
    """Ask each to end, then insist: when it takes too long, or at once at another interruption. DVC lets Ctrl-C pass to
    its stage and leaves in order."""
    for number, seconds in patience:
        answered, deadline = len(received), time.monotonic() + seconds
        for job in jobs:
            if job.poll() is None:
                job.send_signal(number)
        while time.monotonic() < deadline and len(received) == answered:
            if all(job.poll() is not None for job in jobs):
                return
            time.sleep(POLL)
