"""What a training costs beside its seconds: memory, and the time it waits for data."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psutil

EVERY = 1.0  # seconds between two looks at the memory, which cost a few milliseconds each


class Memory(threading.Thread):
    """Peak of a process and its children, MB: anonymous memory alone. Pages of mapped files, which the kernel may drop
    at any time, do not count; what forked workers share with their parent counts once."""

    def __init__(self, pid: int, every: float = EVERY) -> None:
        """every: seconds between two looks."""
        super().__init__(daemon=True)
        self.every = every
        self.process, self.peak, self.ended = psutil.Process(pid), 0.0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(self.every):
            try:
                family = [self.process, *self.process.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self.peak = max(self.peak, sum(anonymous(p.pid) for p in family))

    def stop(self) -> float:
        self.ended.set()
        self.join()
        return self.peak


def anonymous(pid: int | str = "self") -> float:
    """MB of a process that no file backs, a shared page divided among its sharers; 0 once it has ended. Without Linux's
    /proc: all its resident memory."""
    if not Path("/proc/self/smaps_rollup").exists():
        return float(psutil.Process(None if pid == "self" else int(pid)).memory_info().rss / 2**20)
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss_Anon")), 0.0)


class Waiting:
    """Seconds spent in torch's DataLoader iterators (which all three contenders use), by a patch while it is entered.

    On a GPU a fetch counts only if the GPU had finished all its work before the batch was there: an upper bound of the
    time it stood idle."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> Waiting:
        import torch
        from torch.utils.data.dataloader import _BaseDataLoaderIter

        self.owner, self.fetch = _BaseDataLoaderIter, _BaseDataLoaderIter.__next__
        gpu = torch.cuda.is_available()

        def timed(loader: Any) -> Any:
            start = time.perf_counter()
            try:
                return self.fetch(loader)
            finally:
                if not gpu or torch.cuda.current_stream().query():
                    self.seconds += time.perf_counter() - start

        self.owner.__next__ = timed
        return self

    def __exit__(self, *_: object) -> None:
        self.owner.__next__ = self.fetch
