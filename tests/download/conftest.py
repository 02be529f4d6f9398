from __future__ import annotations

import base64
import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from stages.download import Params, run
from stages.shared.core.job import Job, Result
from stages.shared.core.paths import RAW
from stages.shared.images.archive import Archive

Produce = Callable[..., tuple[Result, Archive]]


@lru_cache
def png(seed: int = 0, size: int = 16) -> bytes:
    """A small greyscale PNG, other for each seed."""
    import cv2
    import numpy as np

    noise = np.random.default_rng(seed).integers(0, 255, (size, size), dtype=np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


def zipped(members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, as DVC would set it."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return folder


@pytest.fixture
def produce(workdir: Path) -> Produce:
    """Run the stage with a `download` section, under privacy: keep unless it says otherwise; gives its result and the
    archive."""

    def go(**section: object) -> tuple[Result, Archive]:
        return run(Params.model_validate({"privacy": "keep", **section}), Job()), Archive(RAW)

    return go


class FakeKaggle:
    """Speaks the part of Kaggle's protocol that its client uses for a data set: a POST that redirects to storage, and
    storage that serves ranges with a checksum. `faults` are taken one per request, in order; then all is well."""

    def __init__(self) -> None:
        self.archive = zipped({f"set/{c}/{i}.png": png(i, 840) for i, c in enumerate("aabb")}, zipfile.ZIP_STORED)
        self.faults: list[str] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.checksum: bytes | None = None
        self.ranges = True
        fake = self

        class Handler(_Handler):
            kaggle = fake

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *args: None  # a client that hangs up is no fault here
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def take(self, *kinds: str) -> str:
        return self.faults.pop(0) if self.faults and self.faults[0].split(" ")[0] in kinds else ""


class _Handler(http.server.BaseHTTPRequestHandler):
    kaggle: FakeKaggle
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.kaggle.requests.append((self.path, {**self.headers, "body": body}))
        if fault := self.kaggle.take("status"):
            self.answer(int(fault.split(" ")[1]), b'{"message": "planted"}', {"Content-Type": "text/plain"})
        else:
            self.answer(302, b"", {"Location": f"{self.kaggle.url}/storage/archive.zip"})

    def do_GET(self) -> None:
        self.kaggle.requests.append((self.path, dict(self.headers)))
        whole = self.kaggle.archive
        digest = hashlib.md5(whole if self.kaggle.checksum is None else self.kaggle.checksum).digest()
        headers = {"Content-Type": "application/zip", "x-goog-hash": f"md5={base64.b64encode(digest).decode()}"}
        if self.kaggle.ranges:
            headers["Accept-Ranges"] = "bytes"
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        code = 206 if start else 200
        if fault := self.kaggle.take("cut", "storage"):
            if fault.startswith("storage"):
                self.answer(int(fault.split(" ")[1]), b"planted", {})
                return
            self.answer(code, whole[start : start + int(fault.split(" ")[1])], headers, length=len(whole) - start)
            self.close_connection = True
            return
        self.answer(code, whole[start:], headers)

    def answer(self, code: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body) if length is None else length)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def kaggle(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKaggle]:
    """The client talks to a server on loopback, with an empty cache, a token and no waiting between attempts."""
    from kagglesdk import kaggle_env

    from stages.download import kaggle

    server = FakeKaggle()
    for variable in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_ENVIRONMENT", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(workdir.parent))  # where no ~/.kaggle is
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(workdir.parent / "config"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(workdir.parent / "cache"))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_test")
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, server.url)
    monkeypatch.setattr(kaggle, "WAITS", (0.0, 0.0))
    yield server
    server.close()
