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
from typing import Any, Protocol

from ..shared.core.paths import Key
from .machine import Slot

POLL = 0.1  # seconds
PATIENCE = ((signal.SIGINT, 20.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))  # and seconds before the next
ECHO = 2.0  # seconds in which another interruption is the same one: `timeout` and some launchers send it twice
Interruptions = list[float]  # when each came
Process = subprocess.Popen[bytes]


class Watcher(Protocol):
    """Is called when a model's process starts and ends."""

    def started(self, key: Key, slot: Slot) -> None: ...
    def finished(self, key: Key, slot: Slot, code: int, seconds: float) -> None: ...


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
    """In a process group of its own: a Ctrl-C in the terminal reaches only us, and we pass it to the whole group.
    `output`: a file for stdout and stderr."""
    errors = None if output is None else subprocess.STDOUT
    return subprocess.Popen(
        arguments, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, process_group=0
    )


def run_all(
    keys: Iterable[Key],
    slots: Iterable[Slot],
    start: Callable[[Key, Slot], Process],
    watcher: Watcher,
    received: Interruptions,
    poll: float = POLL,
) -> None:
    """Start a process per model, in order, as soon as a slot is free.

    Raises:
        KeyboardInterrupt: an interruption came; all processes have ended.
    """
    waiting, free = deque(keys), deque(slots)
    running: list[tuple[Process, Key, Slot, float]] = []
    try:
        while waiting or running:
            if received:
                raise KeyboardInterrupt
            while waiting and free:
                key, slot = waiting.popleft(), free.popleft()
                running.append((start(key, slot), key, slot, time.monotonic()))
                watcher.started(key, slot)
            for job in list(running):
                process, key, slot, since = job
                if (code := process.poll()) is not None:
                    running.remove(job)
                    free.append(slot)
                    watcher.finished(key, slot, code, time.monotonic() - since)
            if running:
                time.sleep(poll)
    except BaseException:
        if running:
            with suppress(OSError):  # a terminal that was closed
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
    for number, seconds in patience:
        answered, deadline = len(received), time.monotonic() + seconds
        for process in processes:
            if process.poll() is None:
                with suppress(ProcessLookupError):  # it has just ended
                    os.killpg(process.pid, number)
        while time.monotonic() < deadline and len(received) == answered:
            if all(process.poll() is not None for process in processes):
                return
            time.sleep(POLL)
