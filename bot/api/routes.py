"""Every address of the service. Each route reads, calls, and replies."""

from __future__ import annotations

import time
from importlib.resources import files
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bot.answer import cite
from bot.api.limits import StrictRoute
from bot.api.schemas import (
    AnswerOut,
    AskIn,
    DocumentOut,
    DocumentsOut,
    DocumentTextOut,
    HealthOut,
    OnePassageOut,
    Problem,
    SuggestionsOut,
)
from bot.documents.canonical import line
from bot.engine import Bot
from bot.errors import DocumentNotFound, PassageNotFound, QuestionError, SnapshotError
from bot.settings import MAX_QUESTION
from bot.types import Answer, Document, Span
from bot.widget.pages import chat_page, document_page


def current_bot(request: Request) -> Bot:
    """Return the bot in use; one request works with one bot from start to end.

    :raises SnapshotError: if none could be opened, with the reason.
    """
    bot: Bot | None = request.app.state.bot
    if bot is None:
        raise SnapshotError(request.app.state.fault)
    return bot


CurrentBot = Annotated[Bot, Depends(current_bot)]

_Responses: TypeAlias = dict[int | str, dict[str, Any]]
_BROKEN: _Responses = {500: {"model": Problem, "description": "something went wrong here"}}
_PLAIN: _Responses = {
    500: {
        "description": "something went wrong here",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
_UNREADY: _Responses = {**_BROKEN, 503: {"model": Problem, "description": "no snapshot can be used; says why"}}
_NOT_HERE: _Responses = {
    404: {"model": Problem, "description": "no such thing in the current snapshot"},
    422: {"model": Problem, "description": "the id is not text"},
    **_UNREADY,
}
_REFUSED: _Responses = {
    400: {"model": Problem, "description": "the body is not JSON"},
    413: {"model": Problem, "description": "the body is too large"},
    422: {"model": Problem, "description": "a field is wrong, or the question is empty or too long"},
    **_UNREADY,
}

v1 = APIRouter(prefix="/v1", tags=["v1"], route_class=StrictRoute)
service = APIRouter(tags=["service"])
pages = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@v1.post("/ask", operation_id="ask", responses=_REFUSED)
def ask(body: AskIn, bot: CurrentBot, request: Request) -> AnswerOut:
    """Return the passages that best answer a question, each with its exact source.

    A plain function on purpose: encoding is CPU work, and FastAPI runs plain functions in a thread pool, which leaves
    the event loop free.
    """
    started = time.perf_counter()
    answer = bot.ask(body.question, top_k=body.top_k, filters=body.filters.to_filters(), explain=body.explain)
    _count(request, answer)
    return AnswerOut.of(answer, took_ms=(time.perf_counter() - started) * 1e3)


def _count(request: Request, answer: Answer) -> None:
    request.app.state.metrics.answers.labels(answer.status).inc()


@v1.get("/documents", operation_id="documents", responses=_UNREADY)
def documents(bot: CurrentBot) -> DocumentsOut:
    """List the documents that can be quoted, by id."""
    found = [DocumentOut.of(document) for document in bot.snapshot.documents.values()]
    return DocumentsOut(documents=found, snapshot=bot.snapshot.id)


@v1.get("/documents/{document_id:path}", operation_id="document", responses=_NOT_HERE)
def document(document_id: str, bot: CurrentBot) -> DocumentTextOut:
    """Return a document's source record and the canonical text that every offset refers to."""
    return DocumentTextOut.of(_find(bot, document_id))


def _find(bot: Bot, document_id: str) -> Document:
    found = bot.snapshot.documents.get(document_id)
    if found is None:
        raise DocumentNotFound
    return found


@v1.get("/passages/{passage_id:path}", operation_id="passage", responses=_NOT_HERE)
def passage(passage_id: str, bot: CurrentBot) -> OnePassageOut:
    """Return one passage and where it stands. The ``#`` in an id travels as ``%23``."""
    for found in bot.snapshot.passages:
        if found.id == passage_id:
            source = bot.snapshot.documents[found.document]
            return OnePassageOut.of(found, cite(found, source, Span(found.start, found.end)))
    raise PassageNotFound


@v1.get("/suggestions", operation_id="suggestions", responses=_UNREADY)
def suggestions(bot: CurrentBot) -> SuggestionsOut:
    """Return starter questions, each checked to have an answer."""
    return SuggestionsOut(suggestions=list(bot.starters))


@service.get("/health/live", operation_id="live", responses=_BROKEN)
def live() -> HealthOut:
    """Say that the process runs."""
    return HealthOut(status="live")


@service.get("/health/ready", operation_id="ready", responses=_UNREADY)
def ready(bot: CurrentBot) -> HealthOut:
    """Say that questions can be answered, and from what."""
    snapshot = bot.snapshot
    return HealthOut(
        status="ready", snapshot=snapshot.id, documents=len(snapshot.documents), passages=len(snapshot.passages)
    )


@service.get("/metrics", operation_id="metrics", response_class=PlainTextResponse, responses=_PLAIN)
def metrics(request: Request) -> Response:
    """Return counters in the Prometheus text format."""
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@pages.api_route("/", methods=["GET", "HEAD"])
def chat(request: Request, bot: CurrentBot) -> str:
    return chat_page(request.app.state.settings.name, bot.starters)


@pages.post("/")
def chat_ask(request: Request, bot: CurrentBot, question: Annotated[str, Form()] = "") -> HTMLResponse:
    """The same answer as ``POST /v1/ask``, as a page. A refused question stays in its field."""
    name = request.app.state.settings.name
    try:
        answer = bot.ask(question)
    except QuestionError as error:
        page = chat_page(name, bot.starters, refused=str(error), question=line(question)[:MAX_QUESTION])
        return HTMLResponse(page, status_code=422)
    _count(request, answer)
    return HTMLResponse(chat_page(name, bot.starters, answer=answer))


@pages.get("/documents/{document_id:path}")
def viewer(document_id: str, bot: CurrentBot, request: Request, passage: str = "") -> str:
    return document_page(request.app.state.settings.name, _find(bot, document_id), passage)


@pages.get("/widget/pages.css")
def stylesheet() -> Response:
    css = files("bot.widget").joinpath("pages.css").read_text(encoding="utf-8")
    return Response(css, media_type="text/css", headers={"Cache-Control": "max-age=3600"})
