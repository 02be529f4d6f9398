"""So many processes at a time, and how all of them end.

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

T = TypeVar("T", contravariant=True)
S = TypeVar("S", contravariant=True)
POLL = 0.1  # seconds
PATIENCE = ((signal.SIGINT, 20.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))  # and seconds before the next
ECHO = 2.0  # seconds in which another interruption is the same one: `timeout` and some launchers send it twice
Interruptions = list[float]  # when each came


class Process(Protocol):
    """The part of subprocess.Popen that is used here."""

    pid: int

    def poll(self) -> int | None: ...


class Watcher(Protocol[T, S]):
    """Is called when an item's process starts and ends."""

    def started(self, item: T, slot: S) -> None: ...
    def finished(self, item: T, slot: S, code: int, seconds: float) -> None: ...


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


def spawn(arguments: Sequence[str], environment: Mapping[str, str], output: Any = None) -> subprocess.Popen[bytes]:
    """In a process group of its own: a Ctrl-C in the terminal reaches only us, and we pass it to the whole group.
    `output`: a file for stdout and stderr."""
    errors = None if output is None else subprocess.STDOUT
    return subprocess.Popen(
        arguments, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, process_group=0
    )


def run_all(
    items: Iterable[T],
    slots: Sequence[S],
    start: Callable[[T, S], Process],
    watcher: Watcher[T, S],
    received: Interruptions,
    poll: float = POLL,
) -> None:
    """Start a process per item, in order, as soon as a slot is free.

    Raises:
        KeyboardInterrupt: an interruption came; all processes have ended.
    """
    waiting, free = deque(items), deque(slots)
    running: list[tuple[Process, T, S, float]] = []
    try:
        while waiting or running:
            if received:
                raise KeyboardInterrupt
            while waiting and free:
                item, slot = waiting.popleft(), free.popleft()
                running.append((start(item, slot), item, slot, time.monotonic()))
                watcher.started(item, slot)
            for job in list(running):
                process, item, slot, since = job
                if (code := process.poll()) is not None:
                    running.remove(job)
                    free.append(slot)
                    watcher.finished(item, slot, code, time.monotonic() - since)
            if running:
                time.sleep(poll)
    except BaseException:
        if running:
            print(f"\nStopping {len(running)} running; each keeps its finished epochs.", file=sys.stderr)
        stop([process for process, *_ in running], received)
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


def stop(
    processes: Sequence[Process], received: Interruptions, patience: Sequence[tuple[int, float]] = PATIENCE
) -> None:
    """Ask the whole group of each to end, then insist: when it takes too long, or at once at another interruption. DVC
    lets Ctrl-C pass to its stage and leaves in order."""
    answered = len(received)
    for number, seconds in patience:
        alive = [process for process in processes if process.poll() is None]
        for process in alive:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(process.pid, number)
        since = time.monotonic()
        while time.monotonic() < since + seconds and len(received) == answered:
            if all(process.poll() is not None for process in alive):
                return
            time.sleep(POLL)
        answered = len(received)
