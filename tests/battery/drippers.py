"""Clients that send a byte each fifth of a second, in a process of their own, so that nobody else waits for them."""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
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


def _main(port: int, count: int, seconds: float, again: bool) -> None:
    end, closed = time.monotonic() + seconds, (list[float](), list[float]())
    poll, clients = select.poll(), dict[int, tuple[socket.socket, float, int]]()

    def come(kind: int) -> None:
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall((_HEAD, _BODY)[kind])
        client.setblocking(False)
        poll.register(client, select.POLLIN)
        clients[client.fileno()] = client, time.monotonic(), kind

    for number in range(2 * count):
        come(number % 2)
    while clients and (now := time.monotonic()) < end:
        with ExitStack() as gone:
            for descriptor in _let_go(poll, clients, now + _PAUSE):
                client, since, kind = clients.pop(descriptor)
                poll.unregister(descriptor)
                closed[kind].append(time.monotonic() - since)
                gone.enter_context(client)
                if again:
                    gone.callback(come, kind)
    for kind, left in enumerate(closed):
        left += [seconds for _, _, its in clients.values() if its == kind and not again]
    print(json.dumps(closed))  # noqa: T201


def _let_go(poll: select.poll, clients: dict[int, tuple[socket.socket, float, int]], until: float) -> Sequence[int]:
    """Send a byte from each; those whose connection has ended by the time, or that were told so."""
    ended = set[int]()
    for descriptor, (client, _, _) in clients.items():
        try:
            client.send(b"x")
        except BlockingIOError:
            continue
        except OSError:
            ended.add(descriptor)
    while (left := until - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left * 1_000):
            try:
                if not clients[descriptor][0].recv(1 << 12):
                    ended.add(descriptor)
            except OSError:
                ended.add(descriptor)
        if ended:
            break
    return sorted(ended)


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4] == "again")
