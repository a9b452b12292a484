"""How long the server waits for a client, and how much it lets it send before it says what it wants.

uvicorn waits for ever for the rest of a request, and holds a reply for ever that nobody reads
(github.com/Kludex/uvicorn/issues/157): a few hundred such clients would take all connections. So each step has a
deadline, and the head of a request a size. A proxy in front has limits of its own; without one these are all there is.
"""

from __future__ import annotations

import asyncio
import random

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Seconds from a connection's, or a request's, first byte to the end of its head; from there to the end of its body;
#: and how long what does not fit into the system's buffers waits for its reader. All is over within 10, 15 and 30 s.
HEAD_SECONDS, BODY_SECONDS, READER_SECONDS = 9.5, 14.5, 25.0

#: A deadline may end so early, as a share of it, by chance: a thousand that came together do not all go in one moment,
#: in which nobody else would be served.
_EARLIEST = 0.9

#: Most bytes of a request that are no body: its head, what frames its pieces, its trailer.
MAX_HEAD = 32 * 1024

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-type: text/plain\r\n"
    b"content-length: 26\r\n\r\nthe header is too large   "
)


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol with an end to its patience."""

    _deadline: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None
    _head = 0  # bytes so far that are no body

    def let_in(self) -> None:
        """Called for each connection before it is among those that are open; here it does nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.let_in()
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # so that anything that waits for its reader has a deadline
        self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait(None)
        self._stop_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is None:  # also for what begins no request, as empty lines do not
            self._wait(HEAD_SECONDS)
        self._head += len(data)
        super().data_received(data)
        if self._head > MAX_HEAD and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._wait(HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        self._wait(BODY_SECONDS)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head = 0
        self._wait(None)
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_reader()
        self._reader = self.loop.call_later(_about(READER_SECONDS), self._give_up)

    def resume_writing(self) -> None:
        self._stop_reader()
        super().resume_writing()

    def _wait(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None
        if seconds is not None:
            self._deadline = self.loop.call_later(_about(seconds), self._give_up)

    def _give_up(self) -> None:
        if self.cycle is not None:
            self.cycle.disconnected = True  # else whoever still sends, before the loop has told, finds it closed
        self.transport.abort()

    def _stop_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None


def _about(seconds: float) -> float:
    return seconds * random.uniform(_EARLIEST, 1)
