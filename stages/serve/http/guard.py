"""What stands before every request: the key, how much may be sent and for how long, and that errors tell nothing.

A wrapper around the whole application (ASGI), because FastAPI reads a form before any code of a route runs.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from starlette.exceptions import HTTPException

from .metrics import Metrics

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN = ("/health", "/ready", "/docs", "/openapi.json")
"""Paths that need no key: what runs the server asks whether it lives, and the description of the interface."""
DRAINED = 4  # times the limit: what is read and dropped of a body, so that the sender gets to read the answer
PATIENCE = 5.0  # seconds for that
log = logging.getLogger("lightbox.serve")


class Guard:
    """limit: bytes of a body. seconds: for sending it. waiting: requests with an image at a time. memory: bytes of all
    their bodies. key: None: no key."""

    def __init__(
        self, app: Application, metrics: Metrics, *, limit: int, seconds: float, waiting: int, memory: int,
        key: str | None,
    ) -> None:  # fmt: skip
        self.app, self.metrics, self.limit, self.seconds, self.waiting = app, metrics, limit, seconds, waiting
        self.memory, self.key = memory, key.encode() if key else None
        self.under_way, self.bytes = 0, 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _Request(scope, receive, send, self.limit, self.seconds)
        since, image = time.perf_counter(), scope["path"] == "/predict"
        refusal = self._refusal(request, image)
        counted = image and refusal is None  # one that is refused takes nobody's place, however slowly it sends
        size = counted * request.size
        self.under_way += counted
        self.bytes += size
        try:
            if refusal:
                await request.refuse(*refusal)
            else:
                await self.app(scope, request.receive, request.send)
        except Exception as error:
            log.error("internal error: %s", place(error))
            if request.status is None:
                await request.answer(500, "Internal error. The log of the server has its place.")
        finally:
            self.under_way -= counted
            self.bytes -= size
            self.metrics.request(scope["path"], request.status or 0, time.perf_counter() - since)

    def _refusal(self, request: _Request, image: bool) -> tuple[int, str] | None:
        if self.key and request.path not in OPEN and not hmac.compare_digest(request.key, self.key):
            return 401, "This server needs a key, in the header X-API-Key."
        if request.length > self.limit:
            return 413, too_large(self.limit)
        if image and self.under_way >= self.waiting:
            return 503, f"Busy: {self.waiting} requests are under way. Try again in a moment."
        if image and self.under_way and self.bytes + request.size > self.memory:
            return 503, "Busy: the requests under way fill the memory. Try again in a moment."
        return None


def too_large(limit: int) -> str:
    return f"The request is larger than {limit / 2**20:g} MiB."


class _Request:
    """One request: its body is counted while it arrives, its status is remembered."""

    def __init__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send, limit: int, seconds: float
    ) -> None:
        self._receive, self._send, self.limit = receive, send, limit
        self.end = time.monotonic() + seconds
        self.path, self.headers = scope["path"], dict(scope["headers"])
        self.read, self.complete, self.status = 0, False, None

    path: str
    status: int | None

    @property
    def key(self) -> bytes:
        bearer = self.headers.get(b"authorization", b"")
        return bytes(self.headers.get(b"x-api-key") or bearer.removeprefix(b"Bearer "))

    @property
    def length(self) -> int:
        text = self.headers.get(b"content-length", b"0")
        return int(text) if text.isdigit() else 0

    @property
    def size(self) -> int:
        """Bytes of the body, at most; whoever does not say how many may send as many as are allowed."""
        chunked = b"transfer-encoding" in self.headers  # which then counts more than any content-length
        return self.limit if chunked or b"content-length" not in self.headers else self.length

    async def receive(self) -> Message:
        if self.complete:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self.end - time.monotonic())
        except TimeoutError:
            self.complete = True
            raise HTTPException(408, "The request took too long to arrive.") from None
        self.read += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        if self.read > self.limit:
            await self.drain()
            raise HTTPException(413, too_large(self.limit))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def drain(self) -> None:
        """Read the rest of the body and drop it: a connection that is closed before loses the answer. Not for ever."""
        if self.headers.get(b"expect", b"").lower() == b"100-continue" and not self.read:
            return  # the sender waits to be asked for the body
        dropped = 0
        try:
            async with asyncio.timeout(PATIENCE):
                while not self.complete and dropped < DRAINED * self.limit:
                    message = await self._receive()
                    dropped += len(message.get("body", b""))
                    self.complete = not message.get("more_body", False)
        except TimeoutError:
            pass  # it is answered now, whether or not the sender hears it
        self.complete = True

    async def refuse(self, status: int, detail: str) -> None:
        await self.drain()
        await self.answer(status, detail)

    async def answer(self, status: int, detail: str) -> None:
        body = json.dumps({"detail": detail}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        more = {401: [(b"www-authenticate", b"Bearer")], 503: [(b"retry-after", b"1")]}.get(status, [])
        await self.send({"type": "http.response.start", "status": status, "headers": headers + more})
        await self.send({"type": "http.response.body", "body": body})


def place(error: BaseException) -> str:
    """Type and line. Not its text, in which a library may have put something of a patient's file."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name}, {frame.filename}:{frame.lineno}"
