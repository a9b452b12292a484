"""How connections come in: one at a time while few do, many at a time in a crowd."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from bot.api.patience import PatientProtocol

#: Copies of the listening socket in a crowd; connections that wait to be let in that make one; and the seconds after
#: one was last seen in which it is still reckoned with.
_DOORS, _MANY, _CROWDED_SECONDS = 32, 16, 5.0

#: Where Linux tells how many connections wait at a listening socket: ``tcpi_unacked`` of ``struct tcp_info``.
_WAITING = slice(24, 28)


class Server(uvicorn.Server):
    """uvicorn's server on a socket that listens, with uvicorn's settings as they are here.

    Its loop lets in one connection a turn of each socket that it listens on, since libuv 1.45
    (github.com/libuv/libuv/pull/3696). With one socket several workers share out few connections evenly, as who has
    less to do turns more often. But a busy one lets in a few hundred a second, and of a crowd the others would time out
    before anyone saw them: then it listens on many copies of its socket. Where the system does not tell how many wait,
    it always does.
    """

    def __init__(self, app: ASGIApp, listening: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http=PatientProtocol,
            ws="none",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
        super().__init__(config)
        self._listening = listening
        self._crowded_until = 0.0

    def answer(self) -> None:
        """Serve until told to stop (SIGTERM, SIGINT, ``should_exit``)."""
        self.run(sockets=[self._listening])

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        now = time.monotonic()
        if _waiting(self._listening) >= _MANY:
            self._crowded_until = now + _CROWDED_SECONDS
        if now < self._crowded_until:
            await self._open_doors()
        else:
            self._close_doors()
        return await super().on_tick(counter)

    async def _open_doors(self) -> None:
        protocol = partial(
            PatientProtocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        loop = asyncio.get_running_loop()
        while len(self.servers) < _DOORS:
            door = self._listening.dup()
            self.servers.append(await loop.create_server(protocol, sock=door, backlog=self.config.backlog))

    def _close_doors(self) -> None:
        for door in self.servers[1:]:
            door.close()
        del self.servers[1:]


def _waiting(listening: socket.socket) -> int:
    if sys.platform != "linux":
        return _MANY
    told = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.stop)
    return int.from_bytes(told[_WAITING], sys.byteorder)
