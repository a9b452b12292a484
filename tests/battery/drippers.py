"""Clients that send a byte each fifth of a second, in a process of their own, so that nobody else waits for them."""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import PIPE, Popen

#: The beginnings of requests that never end: in the head, and in the body.
_HEAD = b"GET / HTTP/1.1\r\nHost: t\r\nX-Slow: "
_BODY = b"POST /v1/ask HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n"

#: Seconds between two bytes of a client.
_PAUSE = 0.2


@contextmanager
def dripping(port: int, count: int, seconds: float, again: bool = False) -> Iterator[Popen[str]]:
    """Run so many clients with each beginning; when all were let go, they say after how many seconds each was.

    :param again: come back when let go, until the time is over.
    """
    command = [sys.executable, "-m", __name__, str(port), str(count), str(seconds), "again" if again else "once"]
    with Popen(command, stdout=PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@dataclass(frozen=True, slots=True)
class _Client:
    socket: socket.socket
    kind: int
    since: float


def _main(port: int, count: int, seconds: float, again: bool) -> None:
    end, closed = time.monotonic() + seconds, (list[float](), list[float]())
    poll, clients, due = select.poll(), dict[int, _Client](), deque[tuple[float, _Client]]()

    def come(kind: int, later: float) -> None:
        client = _Client(socket.create_connection(("127.0.0.1", port)), kind, time.monotonic())
        client.socket.sendall((_HEAD, _BODY)[kind])
        client.socket.setblocking(False)
        poll.register(client.socket, select.POLLIN)
        clients[client.socket.fileno()] = client
        due.append((time.monotonic() + later, client))

    for number in range(2 * count):  # they come together, and each has its own time from then on
        come(number % 2, _PAUSE * number / (2 * count))
    while clients and (now := time.monotonic()) < end:
        gone = set[_Client]()
        while due and due[0][0] <= now:
            _, client = due.popleft()
            if client.socket.fileno() in clients:
                due.append((now + _PAUSE, client))
                if not _still_there(client, send=True):
                    gone.add(client)
        left = max(0.0, due[0][0] - time.monotonic()) if due else _PAUSE
        told = [clients[descriptor] for descriptor, _ in poll.poll(left * 1_000)]
        gone |= {client for client in told if not _still_there(client, send=False)}
        for client in gone:
            del clients[client.socket.fileno()]
            poll.unregister(client.socket)
            client.socket.close()
            closed[client.kind].append(time.monotonic() - client.since)
            if again:
                come(client.kind, _PAUSE)
    for client in clients.values():
        if not again:
            closed[client.kind].append(seconds)
    print(json.dumps(closed))


def _still_there(client: _Client, *, send: bool) -> bool:
    """Send a byte or read what came; whether the connection goes on."""
    try:
        return bool(client.socket.send(b"x") if send else client.socket.recv(1 << 12))
    except BlockingIOError:
        return True
    except OSError:
        return False


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4] == "again")
