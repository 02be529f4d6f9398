"""The port that a server listens on."""

from __future__ import annotations

import socket

from ..shared.core.errors import UserError


def listening(host: str, port: int, command: str) -> socket.socket:
    """A socket on which requests already queue up, so that a second server notices at once. `port`: 0: any that is
    free. `command`: of this project, in messages.

    Raises:
        UserError: the port is taken, or the address is none of this machine.
    """
    # with the protocol: without it asyncio leaves Nagle's algorithm on, and each answer waits 40 ms for a packet to be
    # acknowledged
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a port stays taken for a minute
    try:
        listener.bind((host, port))
        listener.listen()  # two sockets may be bound to a port, and only one may listen
    except OSError as error:
        listener.close()
        other = port + 1 if port + 1 < 2**16 else port - 1
        raise UserError(
            f"{host}, port {port}: cannot listen there ({error.strerror}). Stop what runs there, or take another port: "
            f"python -m stages {command} --port {other}"
        ) from None
    return listener
