"""A client that is slow on purpose is let go; whoever else is on the line notices nothing."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.api import patience
from tests.servers import Reply, connected, everything, parsed, reply_on, request, running

#: Patience of the service under test, in seconds: short, so that the tests are.
HEAD, BODY, READER = 0.5, 1.0, 1.5

#: What a machine that is busy with other things may add.
SLACK = 10.0


async def echo(asking: Request) -> Response:
    return Response(f"{asking.query_params}:{len(await asking.body())}")


async def long(asking: Request) -> Response:
    return Response(b"x" * int(asking.path_params["size"]))


APP = Starlette(routes=[Route("/", echo, methods=["GET", "POST"]), Route("/long/{size}", long)])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("HEAD_SECONDS", HEAD), ("BODY_SECONDS", BODY), ("READER_SECONDS", READER)):
        monkeypatch.setattr(patience, name, seconds)


@pytest.fixture
def port(impatient: None) -> Iterator[int]:
    with running(APP) as port:
        yield port


def dripped(client: socket.socket, *, byte: bytes = b"x", pause: float = 0.05) -> float:
    """Send byte after byte until the other side is gone; the seconds that it took."""
    started = time.monotonic()
    client.settimeout(pause)
    while time.monotonic() - started < SLACK:
        try:
            client.sendall(byte)
            if not client.recv(1 << 16):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - started


def closed_after(client: socket.socket) -> float:
    started = time.monotonic()
    client.settimeout(SLACK)
    everything(client)
    return time.monotonic() - started


# --- slow senders -----------------------------------------------------------------------------------------------------


def test_who_says_nothing_is_let_go(port: int) -> None:
    with connected(port) as client:
        assert HEAD / 2 < closed_after(client) < SLACK


def test_who_never_ends_the_head_is_let_go(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nX-Slow: ")
        assert HEAD / 2 < dripped(client) < SLACK


def test_who_never_ends_the_body_is_let_go(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10000\r\n\r\n")
        assert BODY / 2 < dripped(client) < SLACK


def test_who_never_ends_the_trailer_is_let_go(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Slow: ")
        assert BODY / 2 < dripped(client) < SLACK


def test_who_sends_only_empty_lines_after_a_reply_is_let_go(port: int) -> None:
    with connected(port) as client:
        client.sendall(request("GET", "/", close=False))
        assert reply_on(client).status == 200
        client.sendall(b"\r\n")
        assert closed_after(client) < SLACK


def test_who_asks_for_another_protocol_and_stays_is_let_go(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert reply_on(client).status == 200
        assert dripped(client) < SLACK


def test_the_second_request_of_a_connection_has_a_deadline_too(port: int) -> None:
    with connected(port) as client:
        client.sendall(request("GET", "/", close=False))
        assert reply_on(client).status == 200
        client.sendall(b"GET / HT")
        assert dripped(client) < SLACK


# --- what a head may hold ---------------------------------------------------------------------------------------------


def pressed(port: int, start: bytes, piece: bytes, size: int) -> tuple[Reply, int]:
    """Send a start and then pieces until there is a reply; the reply, and the bytes that were taken."""
    sent = 0
    with connected(port) as client:
        client.sendall(start)
        client.setblocking(False)
        received = b""
        deadline = time.monotonic() + SLACK
        while sent < size and time.monotonic() < deadline:
            try:
                sent += client.send(piece)
            except BlockingIOError:
                time.sleep(0.005)
            except OSError:
                break
            try:
                received += client.recv(1 << 16)
                if received:
                    break
            except BlockingIOError:
                time.sleep(0.001)
            except OSError:
                break
        return parsed(received), sent


@pytest.mark.parametrize("line", [b"X-Many: " + b"x" * 1_000 + b"\r\n", b"x" * 1_000], ids=["many", "one"])
def test_a_head_without_an_end_is_refused(port: int, line: bytes) -> None:
    start = b"GET / HTTP/1.1\r\nHost: test\r\nX-Large: "
    reply, sent = pressed(port, start, line, 10_000_000)
    assert reply.status in (0, 431), "0 if the reply was lost because more was sent after it"
    assert sent < 2_000_000


@pytest.mark.parametrize("line", [b"X-Many: " + b"x" * 10_000 + b"\r\n", b"x" * 10_000], ids=["many", "one"])
def test_a_trailer_without_an_end_is_refused(port: int, line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "BODY_SECONDS", 2 * SLACK)  # it is the size that ends it
    start = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Large: "
    _, sent = pressed(port, start, line, 20_000_000)
    assert sent < 10_000_000


def test_a_large_head_that_is_allowed_is_answered(port: int) -> None:
    with connected(port) as client:
        client.sendall(request("GET", "/", b"", "X-Large: " + "x" * 16_000))
        assert reply_on(client).status == 200


# --- slow readers -----------------------------------------------------------------------------------------------------


def test_who_does_not_read_is_let_go(port: int) -> None:
    with connected(port, receive_buffer=4_096) as client:
        client.sendall(request("GET", "/long/20000000", close=False))
        time.sleep(2 * READER)
        assert len(everything(client)) < 20_000_000


def test_who_leaves_the_last_of_a_reply_unread_is_let_go() -> None:
    with running(APP, send_buffer=4_096) as port, connected(port, receive_buffer=4_096) as client:
        client.sendall(request("GET", "/long/60000"))
        time.sleep(2 * READER)
        assert len(everything(client)) < 60_000


def test_who_reads_slowly_but_reads_gets_all_of_it(port: int) -> None:
    with connected(port, receive_buffer=65_536) as client, closing(client.makefile("rb", buffering=0)) as file:
        client.sendall(request("GET", "/long/8000000"))
        received = 0
        while more := file.read(400_000):
            received += len(more)
            time.sleep(READER / 500)
        assert received > 8_000_000


# --- everybody else ---------------------------------------------------------------------------------------------------


def test_a_connection_is_used_again_after_a_pause(port: int) -> None:
    with connected(port) as client:
        for size in (0, 10, 3_000):
            client.sendall(request("POST", f"/?n={size}", b"x" * size, close=False))
            reply = reply_on(client)
            assert (reply.status, reply.body) == (200, f"n={size}:{size}".encode())
            time.sleep(1.5 * HEAD)


def test_requests_that_are_sent_together_are_answered_in_order(port: int) -> None:
    with connected(port) as client:
        sizes = [5, 0, 4_000, 1]
        together = b"".join(request("POST", f"/?n={size}", b"x" * size, close=False) for size in sizes)
        client.sendall(together[:-700])
        time.sleep(HEAD / 5)
        client.sendall(together[-700:] + request("GET", "/?n=last"))
        replies = everything(client)
    bodies = [f"n={size}:{size}".encode() for size in sizes] + [b"n=last:0"]
    places = [replies.find(body) for body in bodies]
    assert -1 not in places
    assert places == sorted(places)
    assert replies.count(b"HTTP/1.1 200 OK") == len(bodies)


def test_a_body_in_many_pieces_is_received(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"POST /?n=1 HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for _ in range(10):
            client.sendall(b"5\r\nabcde\r\n")
            time.sleep(BODY / 50)
        client.sendall(b"0\r\n\r\n")
        assert reply_on(client).body == b"n=1:50"


def test_those_that_come_together_do_not_all_go_in_one_moment() -> None:
    chosen = [patience._about(10.0) for _ in range(1_000)]
    assert all(9.0 <= seconds <= 10.0 for seconds in chosen), "never later than is promised"
    assert max(Counter(int(seconds * 10) for seconds in chosen).values()) < 200, "in no tenth of a second most"
