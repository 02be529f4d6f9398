"""So many processes at a time, and how all of them end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

T = TypeVar("T")
S = TypeVar("S")
POLL = 0.1  # seconds
PATIENCE = ((signal.SIGINT, 20.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))  # and seconds before the next
ECHO = 2.0  # seconds in which another interruption is the same one: `timeout` and some launchers pass it on twice
again = threading.Event()  # set by an interruption while things are being stopped
starting = threading.Event()  # set while a process is started, and nobody could stop it yet
late = threading.Event()  # set by an interruption that came then


class Process(Protocol):
    """What of subprocess.Popen is used here."""

    pid: int

    def poll(self) -> int | None: ...


class Watcher(Protocol[T, S]):
    """Is told what happens."""

    def started(self, item: T, slot: S) -> None: ...
    def finished(self, item: T, slot: S, code: int, seconds: float) -> None: ...
    def tick(self) -> None: ...


def carry(
    items: Iterable[T], slots: Sequence[S], start: Callable[[T, S], Process], watch: Watcher[T, S], poll: float = POLL
) -> None:
    """Start a process per item, in order, as soon as a slot is free. Interrupted, or failing itself, it stops all."""
    waiting, free = deque(items), deque(slots)
    running: list[tuple[Process, T, S, float]] = []
    try:
        while waiting or running:
            while waiting and free:
                item, slot = waiting.popleft(), free.popleft()
                with whole():
                    running.append((start(item, slot), item, slot, time.monotonic()))
                watch.started(item, slot)
            for job in [job for job in running if job[0].poll() is not None]:
                process, item, slot, since = job
                running.remove(job)
                free.append(slot)
                watch.finished(item, slot, process.poll() or 0, time.monotonic() - since)
            if running:
                watch.tick()
                time.sleep(poll)
    except BaseException:
        if running:
            print(f"\nStopping {len(running)} running; each keeps its finished epochs.", file=sys.stderr)
        stop([process for process, *_ in running])
        raise


def stop(processes: Sequence[Process], patience: Sequence[tuple[int, float]] = PATIENCE) -> None:
    """Ask the whole group of each to end, then insist; at once, if we are interrupted again. DVC itself lets Ctrl-C
    pass to its stage and leaves in order."""
    for number, seconds in patience:
        alive = [process for process in processes if process.poll() is None]
        for process in alive:
            with suppress(ProcessLookupError):  # it ended just now
                os.killpg(process.pid, number)
        since = time.monotonic()
        while time.monotonic() < since + seconds and any(process.poll() is None for process in alive):
            if again.is_set():
                again.clear()
                break
            time.sleep(POLL)


def wait(start: Callable[[], Process]) -> int:
    """The exit code of what it starts; interrupted, that is stopped in order."""
    started: list[Process] = []
    try:
        with whole():
            started.append(start())
        while (code := started[0].poll()) is None:
            time.sleep(POLL)
        return code
    except BaseException:
        stop(started)
        raise


@contextmanager
def whole() -> Iterator[None]:
    """An interruption waits for the end of this: a process that was started and is not known would go on alone."""
    starting.set()
    try:
        yield
    finally:
        starting.clear()
    if late.is_set():
        late.clear()
        raise KeyboardInterrupt


@contextmanager
def orderly() -> Iterator[None]:
    """SIGTERM and a closed terminal end things as Ctrl-C does, once; whatever comes later only makes `stop` impatient.
    What was ignored (nohup) stays ignored."""
    first: list[float] = []
    again.clear()
    late.clear()

    def interrupt(*_: object) -> None:
        if not first:
            first.append(time.monotonic())
            if starting.is_set():
                late.set()
                return
            raise KeyboardInterrupt
        if time.monotonic() > first[0] + ECHO:
            again.set()

    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
