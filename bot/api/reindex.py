"""Builds the index again while the service answers: when the operator asks for it, or when the corpus changes.

Building is another process: what it needs of memory and threads is gone when it is done, and if it fails, nothing has
happened here. The service changes to the new snapshot as to any other, when it is put in use.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
import sys
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from filelock import FileLock, Timeout
from starlette.exceptions import HTTPException
from watchfiles import awatch

from bot.api.schemas import Problem, ReindexOut
from bot.settings import Settings

_log = logging.getLogger("signpost")

#: Milliseconds without another change after which the corpus is read again.
_SETTLED = 2_000

#: Seconds between looks whether another build has ended.
_AGAIN = 0.5

admin = APIRouter(prefix="/v1/admin", tags=["admin"])


def index_command(settings: Settings) -> list[str]:
    """Return the command that builds the index of a service."""
    chosen = [f"--{name}={getattr(settings, name)}" for name in ("corpus", "index", "model")]
    return [sys.executable, "-P", "-m", "bot", "index", *chosen]


def index_environment() -> dict[str, str]:
    """Return what surrounds it: a service keeps each of its threads to one core, building takes all."""
    return {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}


class Reindexer:
    """Runs one build at a time, of all the processes that answer from an index."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: asyncio.Task[None] | None = None

    def start(self) -> bool:
        """Begin to build; ``False`` if a build that a service began still runs."""
        if self._running is not None and not self._running.done():
            return False
        turn = FileLock(self._settings.index / ".building", timeout=0)
        try:
            turn.acquire()
        except Timeout:  # in another process
            return False
        except OSError:  # whoever cannot write there is told by the build
            pass
        self._running = asyncio.create_task(self._run(turn))
        return True

    async def _run(self, turn: FileLock) -> None:
        try:
            process = await asyncio.create_subprocess_exec(*index_command(self._settings), env=index_environment())
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                process.terminate()
                await process.wait()
                raise
        finally:
            turn.release()
        _log.log(logging.INFO if code in (0, 3) else logging.ERROR, "building the index ended with code %d", code)

    async def watch(self) -> None:
        """Build whenever something in the corpus has changed, and a short while has passed since."""
        async for _ in awatch(self._settings.corpus, debounce=_SETTLED, recursive=True):
            while not self.start():
                await asyncio.sleep(_AGAIN)  # once more, as that build may have missed this change

    async def close(self) -> None:
        """Stop what runs; the snapshot in use stays."""
        if self._running is not None and not self._running.done():
            self._running.cancel()
            await asyncio.wait([self._running])


_RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "no key, or a wrong one"},
    404: {"model": Problem, "description": "the operator has set no key"},
    409: {"model": Problem, "description": "a build is running"},
    413: {"model": Problem, "description": "the body is too large"},
    422: {"model": Problem, "description": "the header is not text"},
    429: {"model": Problem, "description": "too many requests from one place"},
    500: {"model": Problem, "description": "something went wrong here"},
    503: {"model": Problem, "description": "too many requests at the moment"},
}


@admin.post("/reindex", operation_id="reindex", status_code=202, responses=_RESPONSES)
async def reindex(request: Request, authorization: Annotated[str, Header()] = "") -> ReindexOut:
    """Read the corpus again and put a new snapshot in use when it is built; the one before answers until then.

    Needs the operator's key: ``Authorization: Bearer KEY``.
    """
    settings: Settings = request.app.state.settings
    if settings.admin_key is None:
        raise HTTPException(404)
    if not _is(authorization, f"Bearer {settings.admin_key.get_secret_value()}"):
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    reindexer: Reindexer = request.app.state.reindexer
    if not reindexer.start():
        raise HTTPException(409)
    return ReindexOut(status="started")


def _is(given: str, expected: str) -> bool:
    """Compare in a time that tells nothing, not even the length."""
    digests = (hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given, expected))
    return secrets.compare_digest(*digests)
