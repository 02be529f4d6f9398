"""The socket that the server listens on."""

from __future__ import annotations

import asyncio
import socket

from stages.serve.http.command import listening


def test_answers_do_not_wait_for_packets_to_be_acknowledged():
    """asyncio turns Nagle's algorithm off only on sockets that know their protocol."""
    seen = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def ask() -> None:
        with listening("127.0.0.1", 0) as listener:
            server = await asyncio.start_server(answer, sock=listener)
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await reader.read()
            writer.close()
            server.close()

    asyncio.run(ask())
    assert seen
    assert all(seen)
