"""Builds the app, and translates every error once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from bot import __version__
from bot.api.cache import AnswerCache
from bot.api.limits import MAX_BODY, Admission, Allowance, BodyLimit, RateLimit
from bot.api.observe import Crash, Metrics, Observe, explain
from bot.api.pages import pages
from bot.api.reindex import Reindexer, admin
from bot.api.routes import service, v1
from bot.api.schemas import AskIn, FeedbackIn, FiltersIn, TurnIn
from bot.engine import Bot
from bot.errors import (
    BotError,
    ModelError,
    NotHere,
    QuestionError,
    SnapshotDamaged,
    SnapshotError,
    SnapshotMismatch,
    SnapshotMissing,
    SnapshotTooLarge,
)
from bot.settings import Settings
from bot.snapshot import current_id

_log = logging.getLogger("signpost")

#: The only place where a kind of error becomes a number.
_STATUS: tuple[tuple[type[BotError], int], ...] = ((QuestionError, 422), (NotHere, 404), (SnapshotError, 503))

#: Why no question can be answered, as everybody may know it; the log has the details.
_UNREADY: tuple[tuple[type[BotError], str], ...] = (
    (SnapshotMissing, "no index has been built yet"),
    (SnapshotDamaged, "the index is damaged and must be built again"),
    (SnapshotMismatch, "the index was built by another model or version and must be built again"),
    (SnapshotTooLarge, "the index needs more memory than there is"),
    (ModelError, "the embedding model cannot be used"),
    (BotError, "the service is not set up correctly"),
)

#: Seconds between looks whether another snapshot is in use.
_FOLLOW_SECONDS = 1.0

#: Names that an error may repeat: ours, not the client's.
_KNOWN_FIELDS = {name for model in (AskIn, FeedbackIn, FiltersIn, TurnIn) for name in model.model_fields}

_CODES = {
    400: "BadRequest", 401: "NotAllowed", 404: "NotFound", 405: "MethodNotAllowed", 409: "AlreadyRunning",
    413: "BodyTooLarge", 415: "WrongContentType",
}  # fmt: skip


def create_app(open_bot: Callable[[], Bot], settings: Settings) -> FastAPI:
    """Build the app. ``open_bot`` runs once, at start-up, so importing loads no model.

    When it fails, the app still starts: it says why at ``/health/ready`` and answers questions with 503.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tried = in_use(settings.index)
        await _open(app, open_bot)
        seen = app.state.bot.snapshot.id if app.state.bot else tried  # not what is in use by now: that may be newer
        tasks = [asyncio.create_task(_follow(app, open_bot, settings.index, seen))]
        if settings.watch and app.state.watches:
            tasks.append(asyncio.create_task(app.state.reindexer.watch()))
        yield
        for task in tasks:
            task.cancel()
        await app.state.reindexer.close()

    app = FastAPI(
        title=settings.name,
        version=__version__,
        description="Answers questions by quoting documents, with the exact source of every quote.",
        lifespan=lifespan,
        docs_url=None,  # the stock pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat the client's Host header
    )
    app.state.bot = None
    app.state.fault = "starting"
    app.state.settings = settings
    app.state.metrics = Metrics()
    app.state.cache = AnswerCache(settings.answer_cache)
    app.state.reindexer = Reindexer(settings)
    app.state.watches = True  # of several workers, the first
    app.include_router(v1)
    app.include_router(admin)
    app.include_router(service)
    app.include_router(pages)
    app.add_middleware(Admission, processes=settings.processes)
    app.add_middleware(BodyLimit)
    if settings.rate_limit:
        app.add_middleware(RateLimit, allowance=Allowance(settings.rate_limit), proxies=settings.proxies)
    app.add_middleware(Crash)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Content-Type"],
        expose_headers=["Retry-After", "X-Request-ID"],
    )
    app.add_middleware(Observe, metrics=app.state.metrics, framed_by=settings.origins)

    app.add_exception_handler(BotError, _explain)
    app.add_exception_handler(RequestValidationError, _explain_request)
    app.add_exception_handler(HTTPException, _explain_http)
    return app


async def _open(app: FastAPI, open_bot: Callable[[], Bot]) -> None:
    try:
        app.state.bot = await to_thread.run_sync(open_bot)
    except BotError as error:
        _log.error("%s", error)
        app.state.fault = next((why for kind, why in _UNREADY if isinstance(error, kind)), _UNREADY[-1][1])


async def _follow(app: FastAPI, open_bot: Callable[[], Bot], index: Path, seen: str | None) -> None:
    """Change to each other snapshot than ``seen`` when it is put in use; whoever is being answered keeps the one
    before."""
    while True:
        await asyncio.sleep(_FOLLOW_SECONDS)
        now = in_use(index)
        if now is not None and now != seen:
            await _open(app, open_bot)
            _log.info("snapshot %s is in use", now[:12])
        seen = now


def in_use(index: Path) -> str | None:
    """Return the id of the snapshot in use, if there is one."""
    try:
        return current_id(index)
    except SnapshotError:
        return None


def _explain(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    headers = {"Retry-After": "10"} if status == 503 else None
    return explain(request.scope, status, type(error).__name__, str(error), headers)


def _explain_request(request: Request, error: Exception) -> Response:
    """Say which fields are wrong and how, without repeating any value or unknown name."""
    assert isinstance(error, RequestValidationError)
    faults = []
    for fault in error.errors()[:5]:
        if fault["type"] == "json_invalid":
            return explain(request.scope, 400, "BadRequest", "the body is not valid JSON")
        place = ".".join(str(part) for part in fault["loc"] if isinstance(part, int) or part in _KNOWN_FIELDS)
        if place == "question" and fault["type"] == "string_too_long":
            limit = fault["ctx"]["max_length"]
            return explain(request.scope, 422, "QuestionTooLong", f"a question has at most {limit:,} characters")
        message = "is not a known field" if fault["type"] == "extra_forbidden" else fault["msg"]
        faults.append(f"{place or 'body'}: {message}")
    return explain(request.scope, 422, "BadRequest", "; ".join(faults))


def _explain_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    name = _CODES.get(error.status_code, "HttpError")
    detail = {
        400: "the body cannot be read as JSON",
        401: "this needs the operator's key: Authorization: Bearer KEY",
        409: "the index is being built already",
        404: "there is nothing at this address; GET /openapi.json lists all there is",
        413: f"a request has at most {MAX_BODY:,} bytes",
    }.get(error.status_code, HTTPStatus(error.status_code).phrase)
    return explain(request.scope, error.status_code, name, detail, dict(error.headers or {}))
