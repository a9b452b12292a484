"""What a request may cost, how many are worked on, and what form one must have, before it is looked at."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import logging
import math
import os
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from mmap import mmap
from typing import Any

from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.api.observe import explain

_log = logging.getLogger("signpost")

#: Largest request body, in bytes; the longest legal question fills a small part of it.
MAX_BODY = 64 * 1024

#: Bytes of a refused body that are still read and dropped: a client that is busy sending would not see its reply.
_DRAIN = 8 * 1024 * 1024


class BodyLimit:
    """Receives a body whole before anything is done for it, so that who sends slowly takes nobody's turn.

    Refuses one beyond ``MAX_BODY`` with 413 while it arrives, whatever its Content-Length says.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, size, more = bytearray(), 0, True
        while more and size <= MAX_BODY + _DRAIN:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            if size <= MAX_BODY:
                body += message.get("body", b"")
            more = message.get("more_body", False)
        if size > MAX_BODY:
            close = {"Connection": "close"} if more else None
            reply = explain(scope, 413, "BodyTooLarge", f"a request has at most {MAX_BODY:,} bytes", close)
            await reply(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": bytes(body)}]

        async def received() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, received, send)


#: Questions that are worked on at the same time, for each core; others that may wait for it, as when a class asks at
#: once; and the seconds that they wait at most.
_WORKING_PER_CORE, _CROWD, _PATIENCE = 2, 64, 2.0

#: Once one had to be sent away, the seconds in which nobody else may wait; then as many may as are worked on, at most
#: half a crowd, and twice as many after each such time.
_MOMENT = 0.2


class Admission:
    """Lets in as many questions as can be answered soon, and sends the others away at once with 503.

    What waits longer than its client does is work for nobody, and makes those after it wait too. A crowd that comes
    together waits and is answered. When more come than may wait, waiting is over for a moment, after which few may, and
    more and more while these are enough; when they are not, who waits is sent away as well. So who is let in is
    answered as fast as ever, whatever comes (after Maurer, "Fail at Scale", ACM Queue 13 (8), 2015), and after a flood
    those who are no more than are worked on and these few are all answered again, even if they do not pause. Who is
    sent away loses the connection too: one who hammers on must come in by the door again, which lets in so many at a
    time (``bot.api.server``), and not keep everybody busy with refusing.

    :param processes: how many share the cores; a crowd may come to one of them alone.
    """

    def __init__(self, app: ASGIApp, processes: int = 1) -> None:
        self._app = app
        self._free = math.ceil(_WORKING_PER_CORE * (os.cpu_count() or 1) / processes)
        self._waiting: deque[asyncio.Future[bool]] = deque()  # each is told whether it is let in
        self._few = min(self._free, _CROWD // 2)
        self._closed_until = -math.inf

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if not await self._admitted():
            scope["state"]["sent_away"] = True
            pause = {"Retry-After": str(random.randint(1, 3)), "Connection": "close"}  # not all again at the same time
            reply = explain(scope, 503, "Overloaded", "too many questions at the moment; try again in a moment", pause)
            await reply(scope, receive, send)
            return
        working = True

        def leave() -> None:
            nonlocal working
            if working:
                working = False
                self._leave()

        async def sent(message: Message) -> None:
            leave()  # the work is done: who reads its reply slowly takes nobody's turn
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            leave()

    async def _admitted(self) -> bool:
        if self._free:
            self._free -= 1
            return True
        loop = asyncio.get_running_loop()
        most = self._may_wait(loop.time())
        if len(self._waiting) >= most:
            if most:
                self._shut(loop.time(), again=most < _CROWD)
            return False
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(turn)
        try:
            return await asyncio.wait_for(asyncio.shield(turn), _PATIENCE)
        except (TimeoutError, asyncio.CancelledError) as ended:
            if not turn.done():
                self._waiting.remove(turn)
            elif turn.result():  # it was let in at the very moment
                self._leave()
            if isinstance(ended, asyncio.CancelledError):
                raise
            return False

    def _may_wait(self, now: float) -> int:
        moments = min(10.0, (now - self._closed_until) / _MOMENT)
        return min(_CROWD, self._few << int(moments)) if moments >= 0 else 0

    def _shut(self, now: float, *, again: bool) -> None:
        self._closed_until = now + _MOMENT
        if not again:
            _log.warning("more questions than can be answered: some are sent away")
        while again and self._waiting:  # the first time those who wait stay: it may have been all
            self._waiting.popleft().set_result(False)

    def _leave(self) -> None:
        if self._waiting:
            self._waiting.popleft().set_result(True)
        else:
            self._free += 1


#: Slots of the table of clients, each 8 bytes; two clients share one by chance only, as the hash has a secret.
_SLOTS = 1 << 20

#: Questions that a client may ask at once, as a share of what it may ask in a minute.
_BURST = 1 / 6


class Allowance:
    """How many questions each client may still ask.

    Each has one number, the time at which its allowance is whole again (generic cell rate algorithm, ITU-T I.371). The
    table has a fixed size and is shared by all workers: make it before they part.

    :param per_minute: 1 or more.
    """

    def __init__(self, per_minute: int) -> None:
        self._seconds = 60 / per_minute
        self._burst = max(1.0, per_minute * _BURST)
        self._secret = secrets.token_bytes(16)
        self._whole_again = memoryview(mmap(-1, 8 * _SLOTS)).cast("d")

    def wait(self, client: str) -> float:
        """Count a question; return 0, or the seconds until one is allowed."""
        digest = hashlib.blake2b(client.encode(), key=self._secret, digest_size=8).digest()
        slot = int.from_bytes(digest) % _SLOTS
        now = time.monotonic()
        whole = max(self._whole_again[slot], now)
        wait = whole - now - (self._burst - 1) * self._seconds
        if wait > 0:
            return wait
        self._whole_again[slot] = whole + self._seconds
        return 0.0


class RateLimit:
    """Sends away with 429 a client that asks more than it may.

    :param proxies: networks of the operator's own proxies, whose ``X-Forwarded-For`` is believed; nobody else's is.
    """

    def __init__(self, app: ASGIApp, allowance: Allowance, proxies: Sequence[str] = ()) -> None:
        self._app = app
        self._allowance = allowance
        self._proxies = [ipaddress.ip_network(proxy) for proxy in proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope["type"] == "http" and scope["method"] == "POST"
        wait = self._allowance.wait(self._client(scope)) if asks else 0.0
        if not wait:
            await self._app(scope, receive, send)
            return
        scope["state"]["sent_away"] = True
        headers = {"Retry-After": str(math.ceil(wait))}
        reply = explain(scope, 429, "TooManyQuestions", "too many questions from one place; try again later", headers)
        await reply(scope, receive, send)

    def _client(self, scope: Scope) -> str:
        """The address that asks: the last one where no proxy of ours stands; of IPv6, the network of one household."""
        peer = scope["client"][0] if scope.get("client") else ""
        said = Headers(scope=scope).getlist("x-forwarded-for") if self._proxies else []
        hops = [*(hop.strip() for line in said for hop in line.split(",")), peer]
        for hop in reversed(hops):
            try:
                address = ipaddress.ip_address(hop)
            except ValueError:
                return peer
            address = getattr(address, "ipv4_mapped", None) or address
            if not any(address in proxy for proxy in self._proxies):
                return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
        return peer


class _StrictRequest(Request):
    """Reads JSON as RFC 8259 has it between systems: UTF-8 without a mark, each name once, no NaN."""

    async def json(self) -> Any:  # noqa: ANN401
        body = await self.body()
        try:
            return json.loads(body.decode("utf-8"), object_pairs_hook=_each_once, parse_constant=_refuse)
        except (UnicodeDecodeError, RecursionError, ValueError) as error:
            raise json.JSONDecodeError("not valid JSON", "", 0) from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


class StrictRoute(APIRoute):
    """A route whose body, if it has one, is strict JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict
