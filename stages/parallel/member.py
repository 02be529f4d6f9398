"""One member of the matrix as a process of DVC, and what its log says."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..shared.core.matrix import BESIDE, Matrix
from ..shared.core.paths import Key
from ..study import PER_MEMBER
from .machine import Slot
from .schedule import Process, spawn

LOGS = Path(".lightbox/logs")
TAIL = 8192  # bytes of a log that are read while it grows


@dataclass(frozen=True)
class Outcome:
    """ran: the stages that DVC had to run, with the time that each took. restored: those that it had in its cache.
    failed: the stage that failed, or None; reasons: its messages. tail: the end of its log."""

    key: Key
    seconds: float
    ran: Mapping[str, str]
    restored: tuple[str, ...] = ()
    failed: str | None = None
    reasons: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        return log_of(self.key)


def log_of(key: Key) -> Path:
    return LOGS / f"{key}.log"


def dvc(*arguments: str) -> list[str]:
    """DVC under this interpreter; it waits where another one holds the repository's lock."""
    return [sys.executable, "-m", f"{__package__}.dvc", "--wait-for-lock", *arguments]


def environment(slot: Slot) -> dict[str, str]:
    """Ours, with this interpreter as the stages' `python`, no buffering, so that logs are up to date, and the number of
    threads of a slot for all stages, so that one server serves them."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    ours = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "LIGHTBOX_DEFER_SUMMARY": "1"}
    return replace(slot, gpus=()).environment(ours)


def start(key: Key, matrix: Matrix, environment: Mapping[str, str]) -> Process:
    LOGS.mkdir(parents=True, exist_ok=True)
    with log_of(key).open("wb") as log:
        targets = [matrix.target(stage, key) for stage in PER_MEMBER]
        return spawn(dvc("repro", "--single-item", *targets), environment, log)


def outcome_of(key: Key, code: int, seconds: float) -> Outcome:
    """The result of a process that ended with `code`."""
    text = log_of(key).read_text(encoding="utf-8", errors="replace")
    times = dict(re.findall(r"^(\w+): done in (\S+)$", text, flags=re.M))
    target = rf"'(\w+?)(?:{BESIDE})?@{key}'"
    ran = {stage: times.get(stage, "") for stage in re.findall(rf"^Running stage {target}", text, flags=re.M)}
    restored = tuple(re.findall(rf"^Stage {target} is cached", text, flags=re.M))
    if code == 0:
        return Outcome(key, seconds, ran, restored)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    named = re.findall(rf"failed to reproduce {target}", text)
    failed = named[-1] if named else [PER_MEMBER[0], *ran][-1]
    ours, dvcs = (re.findall(rf"^{prefix}: (.*)", text, flags=re.M) for prefix in ("error", "ERROR"))
    reasons = ours or dvcs or [f"the process ended with code {code} and no message"]
    return Outcome(key, seconds, ran, restored, failed, tuple(reasons), tuple(lines[-6:]))


def last_line(key: Key) -> str:
    """Of the log so far; a progress bar's newest state counts as a line."""
    with log_of(key).open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL))
        lines = re.split(r"[\r\n]+", log.read().decode("utf-8", errors="replace"))
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
