"""A model on its way through a cluster, with the two methods that a process of this machine has for `schedule`."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ...shared.core import credentials
from ...shared.core.paths import Key
from ..member import log_of
from . import worker
from .worker import Order, Report

BY_VALUE = (worker, credentials)  # the modules that workers get with their order
Submit = Callable[[Order], "Handle"]


class Lost(Exception):
    """The scheduler has given the task up: its worker was killed, too often."""


class Handle(Protocol):
    """A task as its scheduler knows it."""

    def report(self) -> Report | None:
        """None while it waits or runs. Raises Lost."""

    def cancel(self, *, insist: bool) -> None: ...


@dataclass(frozen=True)
class Place:
    """Where a model is, for people."""

    name: str


@dataclass
class Submitted:
    """`key` as a task; when it has ended, its log is where that of a local job would be."""

    key: Key
    handle: Handle
    code: int | None = field(default=None, init=False)

    def poll(self) -> int | None:
        """The exit code, or None."""
        if self.code is None:
            try:
                report = self.handle.report()
            except Lost as error:
                report = {"code": 1, "log": credentials.without_credentials(f"error: {error}\n")}
            if report is not None:
                log_of(self.key).write_text(report["log"], encoding="utf-8")
                self.code = report["code"]
        return self.code

    def send_signal(self, number: int) -> None:
        self.handle.cancel(insist=number != signal.SIGINT)


def submit(key: Key, order: Order, to: Submit) -> Submitted:
    path = log_of(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("submitted\n", encoding="utf-8")
    return Submitted(key, to(order))
