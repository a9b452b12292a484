"""How connections come in: one at a time while few do, many at a time in a crowd."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from functools import partial
from mmap import mmap
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from bot.api.patience import PatientProtocol

#: Copies of the listening socket in a crowd; connections that wait to be let in that make one; and the seconds after
#: one was last seen in which it is still reckoned with.
_DOORS, _MANY, _CROWDED_SECONDS = 32, 16, 5.0

#: Seconds that a process which has two connections more than another waits after each new one, so that the other may
#: take the next: of some that come together the first to wake would take all while the other's core is still busy.
_AFTER_YOU = 0.001

#: Where Linux tells how many connections wait at a listening socket: ``tcpi_unacked`` of ``struct tcp_info``.
_WAITING = slice(24, 28)


class Server(uvicorn.Server):
    """uvicorn's server on a socket that listens, with uvicorn's settings as they are here.

    Its loop lets in one connection a turn of each socket that it listens on, since libuv 1.45
    (github.com/libuv/libuv/pull/3696). So several processes can share out few connections evenly. But a busy one lets
    in a few hundred a second, and of a crowd the others would time out before anyone saw them: then it listens on many
    copies of its socket, from when one who came in saw many behind until nobody has for a while. Where the system does
    not tell how many wait, it always does.

    :param shares: how many connections each process has, of type ``i``, in memory that they share.
    :param number: which of them this is.
    """

    def __init__(self, app: ASGIApp, listening: socket.socket, shares: memoryview, number: int = 0) -> None:
        let_in = self._let_in

        class Protocol(PatientProtocol):
            def let_in(self) -> None:
                let_in()

        self._protocol = Protocol
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
        super().__init__(config)
        self._listening = listening
        self._shares, self._number = shares, number
        self._crowded_until = 0.0
        self._opening: asyncio.Task[None] | None = None

    def answer(self) -> None:
        """Serve until told to stop (SIGTERM, SIGINT, ``should_exit``)."""
        self.run(sockets=[self._listening])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; told so again, as by a second Ctrl+C, it does not drop what it has begun, which soon ends anyway."""
        if not self.should_exit:
            super().handle_exit(sig, frame)

    def _let_in(self) -> None:
        """Count a connection, and see who stands behind it."""
        if self.should_exit:
            return  # it came at the last moment: the socket that listens is closed
        before = len(self.server_state.connections)
        self._shares[self._number] = before + 1
        now = time.monotonic()
        if _waiting(self._listening) >= _MANY:
            self._crowded_until = now + _CROWDED_SECONDS
            if len(self.servers) == 1 and (self._opening is None or self._opening.done()):
                self._opening = asyncio.create_task(self._open_doors())
        elif now > self._crowded_until and before > min(self._shares) + 1:
            time.sleep(_AFTER_YOU)

    async def _open_doors(self) -> None:
        loop = asyncio.get_running_loop()
        protocol = partial(
            self._protocol,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        while len(self.servers) < _DOORS and not self.should_exit:
            door = self._listening.dup()
            self.servers.append(await loop.create_server(protocol, sock=door, backlog=self.config.backlog))

    async def on_tick(self, counter: int) -> bool:
        """Close the doors again once a crowd is over; uvicorn calls it ten times a second."""
        self._shares[self._number] = len(self.server_state.connections)
        if time.monotonic() > self._crowded_until and (self._opening is None or self._opening.done()):
            self._close_doors()
        return await super().on_tick(counter)

    def _close_doors(self) -> None:
        for door in self.servers[1:]:
            door.close()
        del self.servers[1:]


def shares_of(processes: int) -> memoryview:
    """Return the shares of some processes, before they part."""
    return memoryview(mmap(-1, processes * struct.calcsize("i"))).cast("i")


def _waiting(listening: socket.socket) -> int:
    if sys.platform != "linux":
        return _MANY
    told = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.stop)
    return int.from_bytes(told[_WAITING], sys.byteorder)
