"""Clients that ask at fixed times, whatever comes back (open loop), in a process of their own.

Each costs a tenth of what one of asyncio's would, so that the service, and not they, take the processors.
"""

from __future__ import annotations

import select
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass

from tests.servers import Reply, parsed

#: Seconds after the last has come in which the replies may come.
_PATIENCE = 60.0

#: Before each reply in what the process says: seconds that it took, and its bytes.
_HEAD = struct.Struct("dI")


def on_time(port: int, sent: bytes, per_second: float, seconds: float) -> list[Reply]:
    """Send a request so many times a second, each on a connection of its own; return the replies as they came."""
    command = [sys.executable, "-m", __name__, str(port), str(per_second), str(seconds)]
    said = subprocess.run(command, input=sent, stdout=subprocess.PIPE, check=True).stdout
    replies, start = [], 0
    while start < len(said):
        took, size = _HEAD.unpack_from(said, start)
        start += _HEAD.size + size
        replies.append(parsed(said[start - size : start], took))
    return replies


@dataclass(slots=True)
class _Client:
    socket: socket.socket
    since: float
    received: bytes = b""


def _main(port: int, per_second: float, seconds: float, sent: bytes) -> None:
    clients, poll, said = dict[int, _Client](), select.epoll(), bytearray()
    started, come, count = time.monotonic(), 0, int(per_second * seconds)
    while (now := time.monotonic()) < started + seconds + _PATIENCE and (come < count or clients):
        while come < count and started + come / per_second <= now:
            client = _Client(socket.socket(), time.monotonic())
            client.socket.setblocking(False)
            client.socket.connect_ex(("127.0.0.1", port))
            clients[client.socket.fileno()] = client
            poll.register(client.socket, select.EPOLLOUT)
            come += 1
        due = started + come / per_second - time.monotonic() if come < count else 1.0
        for descriptor, event in poll.poll(max(0.0, due)):
            if not _goes_on(clients[descriptor], event, poll, sent):
                client = clients.pop(descriptor)
                client.socket.close()
                said += _HEAD.pack(time.monotonic() - client.since, len(client.received)) + client.received
    for _ in clients:  # nothing came, or no end
        said += _HEAD.pack(_PATIENCE, 0)
    sys.stdout.buffer.write(said)


def _goes_on(client: _Client, event: int, poll: select.epoll, sent: bytes) -> bool:
    try:
        if event & select.EPOLLOUT:
            client.socket.send(sent)
            poll.modify(client.socket, select.EPOLLIN)
            return True
        more = client.socket.recv(1 << 16)
    except OSError:
        client.received = b""  # a reply that is cut off by a reset is none
        return False
    client.received += more
    return bool(more)


if __name__ == "__main__":
    _main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.stdin.buffer.read())
