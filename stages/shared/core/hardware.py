"""What this process may use of the machine: cores and memory, as far as the system and its control groups allow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

ROOT = Path("/")


def cores(root: Path = ROOT) -> int:
    """Those that this process may run on, and no more than the quotas of its control groups, rounded up: a container
    with two cores' worth of time sees all cores of the machine."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *cpu_quotas(root)]))


def cpu_quotas(root: Path = ROOT) -> list[int]:
    """Cores' worth of time that control groups allow, rounded up; empty where there is no limit or no such thing."""
    limits: list[tuple[str, str]] = []
    for group in control_groups(root, "cpu"):
        if (both := group / "cpu.max").is_file():  # version 2: "200000 100000", or "max 100000"
            quota, period = both.read_text().split()
            limits.append((quota, period))
        elif (one := group / "cpu.cfs_quota_us").is_file():  # version 1; -1: no limit
            limits.append((one.read_text().strip(), (group / "cpu.cfs_period_us").read_text().strip()))
    return [-(-int(quota) // int(period)) for quota, period in limits if quota.isdigit() and int(period)]


def memory_limits(root: Path = ROOT) -> list[int]:
    """Bytes that control groups allow; empty where there is no limit or no such thing."""
    files = [
        group / name for group in control_groups(root, "memory") for name in ("memory.max", "memory.limit_in_bytes")
    ]
    texts = [file.read_text().strip() for file in files if file.is_file()]
    return [int(text) for text in texts if text.isdigit()]  # the other is "max"


def control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's control groups that may limit it, such as those of a container, version 1 or 2, each
    with those that it lies in: a limit holds for the groups within."""
    listed = root / "proc/self/cgroup"
    for line in listed.read_text().splitlines() if listed.exists() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            folder = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            folder = root / "sys/fs/cgroup" / controller
        else:
            continue
        group = Path(path.lstrip("/"))
        yield from (folder / each for each in (group, *group.parents))


def on_all_cores(work: Callable[[int], T], count: int) -> list[T]:
    """work(0), work(1), …, in threads: it leaves Python for most of its time."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(work, range(count)))
