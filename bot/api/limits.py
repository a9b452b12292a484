"""What a request may cost before it is looked at."""

from __future__ import annotations

from starlette.exceptions import HTTPException
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
