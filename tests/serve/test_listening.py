"""The socket that a server listens on; where its port is taken, both servers say so, and how to go on."""

from __future__ import annotations

import argparse
import asyncio
import socket
from contextlib import closing
from pathlib import Path

import pytest

from stages.serve.app import command as app
from stages.serve.http import command as http
from stages.serve.port import listening
from stages.shared.core.errors import UserError


@pytest.fixture
def taken(workspace, repository):
    """The port of a server that is still starting: it has accepted nobody yet."""
    (workspace / "params.yaml").write_text((repository / "params.yaml").read_text())
    with closing(listening("127.0.0.1", 0, "serve")) as first:
        yield first.getsockname()[1]


def test_a_second_server_says_which_port_is_taken_and_names_another(taken):
    arguments = argparse.Namespace(host=None, port=taken, folder=Path("unread"), champion=False)
    with pytest.raises(UserError, match=rf"port {taken}: .*in use.*stages serve --port {taken + 1}"):
        http.run(arguments)


def test_so_does_the_page(taken, monkeypatch):
    monkeypatch.setattr("os.execve", lambda *_: pytest.fail("Streamlit was started"))
    arguments = argparse.Namespace(host="127.0.0.1", port=taken, folder=None)
    with pytest.raises(UserError, match=rf"port {taken}: .*in use.*stages app --port {taken + 1}"):
        app.run(arguments)


def test_a_port_that_was_let_go_can_be_taken_at_once():
    with closing(listening("127.0.0.1", 0, "serve")) as first:
        port = first.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        first.accept()[0].close()  # the closer's side waits for a minute
        client.close()
    listening("127.0.0.1", port, "serve").close()


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(UserError, match=r"192\.0\.2\.1, port \d+: cannot listen there"):
        listening("192.0.2.1", 8000, "serve")


def test_answers_do_not_wait_for_packets_to_be_acknowledged():
    """asyncio turns Nagle's algorithm off only on sockets that know their protocol."""
    seen = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def ask() -> None:
        with listening("127.0.0.1", 0, "serve") as listener:
            server = await asyncio.start_server(answer, sock=listener)
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await reader.read()
            writer.close()
            server.close()

    asyncio.run(ask())
    assert seen
    assert all(seen)
