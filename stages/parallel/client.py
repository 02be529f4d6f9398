"""Asks the server (server.py) to run this command, and behaves as if it ran here. Imports nothing but the standard
library: this is all that a stage pays for starting."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

ADDRESS = "LIGHTBOX_SERVER"  # environment variable: the path of the server's socket
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ACCEPTED = b"\x01"
LENGTH = struct.Struct("!I")  # of the request that follows


def run(arguments: Sequence[str]) -> int | None:
    """The exit code of `python -m stages` with these arguments; None where no server runs it.

    The other process has our working directory, environment, stdin, stdout and stderr. It gets the signals that we get,
    and ends when we end; when it is killed, so are we.
    """
    address = os.environ.get(ADDRESS)
    if not address or not arguments:
        return None
    received: list[int] = []
    with socket.socket(socket.AF_UNIX) as server:

        def forward(number: int, _: object) -> None:
            received.append(number)
            with suppress(OSError):  # it has just ended; its answer is read below
                server.sendall(bytes([number]))

        handlers = {number: signal.getsignal(number) for number in FORWARDED}
        try:
            server.connect(address)
            body = json.dumps([list(arguments), os.getcwd(), dict(os.environ)]).encode()
            socket.send_fds(server, [LENGTH.pack(len(body))], [0, 1, 2])
            server.sendall(body)
            for number, handler in handlers.items():
                if handler != signal.SIG_IGN:  # as nohup has it
                    signal.signal(number, forward)
            accepted = server.recv(1) == ACCEPTED
        except OSError:
            accepted = False
        if accepted:
            try:
                code = server.recv(1)
            except ConnectionResetError:  # it was killed before it read a signal
                code = b""
            if not code:
                os.kill(os.getpid(), signal.SIGKILL)
            return code[0]
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for missed in received:
        signal.raise_signal(missed)
    return None
