"""What a request may cost, and what form it must have, before it is looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Largest request body, in bytes; the longest legal question fills a small part of it.
MAX_BODY = 64 * 1024

#: Bytes of a refused body that are still read and dropped: a client that is busy sending would not see its reply.
_DRAIN = 8 * 1024 * 1024


class BodyLimit:
    """Refuses a body beyond ``MAX_BODY`` with 413 while it arrives, whatever its Content-Length says."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size = 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size <= MAX_BODY:
                return message
            while message.get("more_body") and size <= MAX_BODY + _DRAIN:
                message = await receive()
                size += len(message.get("body", b""))
            raise HTTPException(413)

        await self._app(scope, limited, send)


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
