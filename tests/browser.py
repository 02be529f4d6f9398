"""Headless Chromium, driven over a pipe with its DevTools protocol: no driver, no library, no port."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-extensions",
)


@dataclass
class Tab:
    """One page. `complaints`: errors and warnings of its console, and exceptions that nobody caught."""

    requests: BinaryIO
    answers: BinaryIO
    session: str | None = None
    complaints: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    sent: int = 0

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        self.sent += 1
        message = {"id": self.sent, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.requests.write(json.dumps(message).encode() + b"\0")
        self.requests.flush()
        while True:
            answer = self.receive()
            if answer.get("id") == self.sent:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def receive(self) -> dict[str, Any]:
        parts = []
        while (byte := self.answers.read(1)) != b"\0":
            assert byte, "the browser is gone"
            parts.append(byte)
        message = json.loads(b"".join(parts))
        self.note(message)
        return message

    def note(self, message: dict[str, Any]) -> None:
        method, params = message.get("method", ""), message.get("params", {})
        self.events.append(method)
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])

    def open(self, path: Path, width: int, height: int, dark: bool = False) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = "dark" if dark else "light"
        self.send("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"},
        ])  # fmt: skip
        self.events.clear()
        self.send("Page.navigate", url=path.resolve().as_uri())
        while "Page.loadEventFired" not in self.events:
            self.receive()

    def run(self, code: str) -> Any:
        """The value of the last expression."""
        answer = self.send("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """A key such as Escape, Tab, ArrowRight."""
        code = {"Escape": 27, "Tab": 9, "Enter": 13, "ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """`profile`: an empty folder of its own."""
    assert BINARY
    to_browser, requests = os.pipe()
    answers, from_browser = os.pipe()
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (to_browser, from_browser)]

    def connect() -> None:  # Chromium reads requests from 3 and writes answers to 4
        os.dup2(theirs[0], 3)
        os.dup2(theirs[1], 4)

    command = [BINARY, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, preexec_fn=connect, pass_fds=(3, 4), **quiet)  # type: ignore[call-overload]
    for end in (to_browser, from_browser, *theirs):
        os.close(end)
    with os.fdopen(requests, "wb") as out, os.fdopen(answers, "rb") as back:
        tab = Tab(out, back)
        target = tab.send("Target.createTarget", url="about:blank")["targetId"]
        tab.session = tab.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            tab.send(f"{domain}.enable")
        try:
            yield tab
        finally:
            tab.session = None
            tab.send("Browser.close")
            process.wait(20)
