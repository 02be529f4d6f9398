"""Hears from MLflow's registry which version is the champion, through a process of its own: the server imports no
MLflow, and that process imports it once."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping

MODULE = "stages.shared.tracking.follow"
log = logging.getLogger("lightbox.serve")


class Follower(threading.Thread):
    """hear(message): called in this thread with each message of that process; one that has ended is started again.

    uri: models:/name@alias. poll: seconds between two looks."""

    def __init__(self, uri: str, poll: float, hear: Callable[[Mapping[str, str]], None]) -> None:
        super().__init__(name="follower", daemon=True)
        self.uri, self.poll, self.hear = uri, poll, hear
        self._ended, self._process = threading.Event(), self._start()

    def run(self) -> None:
        while True:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                self._pass_on(json.loads(line))
            code = self._process.wait()
            if self._ended.is_set():
                return
            self._pass_on({"error": f"what watches {self.uri} has ended with code {code}; it is started again"})
            if self._ended.wait(self.poll):
                return
            self._process = self._start()

    def stop(self) -> None:
        self._ended.set()
        assert self._process.stdin is not None
        self._process.stdin.close()  # the way to end it
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _pass_on(self, message: Mapping[str, str]) -> None:
        try:
            self.hear(message)
        except Exception:  # whatever went wrong with this message, the next champion has to be heard of
            log.exception("what the registry said was not followed: %s", message)

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", MODULE, self.uri, str(self.poll)]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
