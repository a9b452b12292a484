"""Connections are let in one at a time while few come, many at a time in a crowd."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import pytest
from starlette.types import Receive, Scope, Send

from bot.api import server
from bot.api.server import Server, shares_of
from tests.servers import connected, exchange, request, until

_ASK = request("GET", "/")


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    """Keeps the loop for a while, as no route of ours does, so that others must wait at the door."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/busy":
        time.sleep(0.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def _serving(shares: memoryview | None = None) -> Iterator[tuple[Server, int]]:
    with socket.create_server(("127.0.0.1", 0), backlog=2_048) as listening:
        running = Server(_busy, listening, shares or shares_of(1))
        thread = threading.Thread(target=running.answer)
        thread.start()
        try:
            until(lambda: running.started)
            yield running, listening.getsockname()[1]
        finally:
            running.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def test_few_come_in_by_one_door() -> None:
    with _serving() as (running, port), ExitStack() as clients:
        for _ in range(50):  # one after the other
            client = clients.enter_context(connected(port))
            client.sendall(_ASK)
            assert client.recv(1_000).startswith(b"HTTP/1.1 200")
        assert len(running.servers) == 1


def test_who_has_more_than_another_lets_it_take_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr(server, "time", SimpleNamespace(monotonic=time.monotonic, sleep=naps.append))
    shares = shares_of(2)

    with _serving(shares) as (_, port), ExitStack() as clients:

        def come() -> int:
            client = clients.enter_context(connected(port))
            client.sendall(request("GET", "/", close=False))
            assert client.recv(1_000).startswith(b"HTTP/1.1 200")
            return len(naps)

        assert [come() for _ in range(4)] == [0, 0, 1, 2], "the other one has none"
        assert shares[0] == 4
        shares[1] = 4
        assert [come() for _ in range(3)] == [2, 2, 3]


def test_a_crowd_opens_more_doors_which_close_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_CROWDED_SECONDS", 0.5)
    with _serving() as (running, port), ExitStack() as clients:
        kept = [clients.enter_context(connected(port)) for _ in range(2)]
        kept[0].sendall(request("GET", "/busy"))
        time.sleep(0.1)  # it keeps the loop now
        crowd = [clients.enter_context(connected(port)) for _ in range(200)]
        until(lambda: len(running.servers) == server._DOORS)
        for client in crowd:
            client.sendall(request("GET", "/", close=False))
        assert all(client.recv(1_000).startswith(b"HTTP/1.1 200") for client in crowd)
        until(lambda: len(running.servers) == 1)
        for client in (kept[1], *crowd):
            client.sendall(_ASK)
            assert client.recv(1_000).startswith(b"HTTP/1.1 200"), "who came in stays, by whatever door"
        assert exchange(port, _ASK).status == 200
