"""Every address that programs use. Each route reads, calls, and replies."""

from __future__ import annotations

import time
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from bot.answer import cite
from bot.api.cache import AnswerCache
from bot.api.limits import StrictRoute
from bot.api.observe import Metrics
from bot.api.schemas import (
    AnswerOut,
    AskIn,
    DocumentOut,
    DocumentsOut,
    DocumentTextOut,
    FeedbackIn,
    HealthOut,
    OnePassageOut,
    Problem,
    SuggestionsOut,
)
from bot.documents.canonical import line
from bot.engine import Bot
from bot.errors import DocumentNotFound, PassageNotFound, SnapshotError
from bot.settings import MAX_QUESTION, Settings
from bot.types import Answer, Document, Filters, Span, Turn


async def current_bot(request: Request) -> Bot:
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
    429: {"model": Problem, "description": "too many questions from one place; Retry-After says when to come back"},
    **_BROKEN,
    503: {"model": Problem, "description": "no snapshot can be used, or too many ask at once; says which"},
}
_FEEDBACK: _Responses = {
    **_REFUSED,
    404: {"model": Problem, "description": "feedback is not counted here"},
}

v1 = APIRouter(prefix="/v1", tags=["v1"], route_class=StrictRoute)
service = APIRouter(tags=["service"])


@v1.post("/ask", operation_id="ask", response_model=AnswerOut, responses=_REFUSED)
def ask(body: AskIn, bot: CurrentBot, request: Request) -> Response:
    """Return the passages that best answer a question, each with its exact source.

    A plain function on purpose: encoding is CPU work, and FastAPI runs plain functions in a thread pool, which leaves
    the event loop free. The reply is made into JSON here, once.
    """
    started = time.perf_counter()
    turns = tuple(turn.to_turn() for turn in body.turns)
    answer = answered(request, bot, body.question, turns, body.top_k, body.filters.to_filters(), body.explain)
    reply = AnswerOut.of(answer, took_ms=(time.perf_counter() - started) * 1e3)
    return Response(reply.model_dump_json(), media_type="application/json")


def answered(
    request: Request,
    bot: Bot,
    question: str,
    turns: tuple[Turn, ...] = (),
    top_k: int = 5,
    filters: Filters | None = None,
    explain: bool = False,
) -> Answer:
    """Ask, or remember what was answered to the very same from the same snapshot, and count."""
    cache: AnswerCache = request.app.state.cache
    metrics: Metrics = request.app.state.metrics
    key = (bot.snapshot.id, line(question), turns, top_k, filters, explain)
    answer, kept = cache.answer(
        key, lambda: bot.ask(question, turns=turns, top_k=top_k, filters=filters, explain=explain)
    )
    metrics.answers.labels(answer.status).inc()
    if kept:
        metrics.cached.inc()
    return answer


@v1.get("/documents", operation_id="documents", responses=_UNREADY)
def documents(bot: CurrentBot) -> DocumentsOut:
    """List the documents that can be quoted, by id."""
    found = [DocumentOut.of(record) for record in bot.snapshot.documents.records]
    return DocumentsOut(documents=found, snapshot=bot.snapshot.id)


@v1.get("/documents/{document_id:path}", operation_id="document", responses=_NOT_HERE)
def document(document_id: str, bot: CurrentBot) -> DocumentTextOut:
    """Return a document's source record and the canonical text that every offset refers to."""
    return DocumentTextOut.with_text(find(bot, document_id))


def find(bot: Bot, document_id: str) -> Document:
    found = bot.snapshot.documents.get(document_id)
    if found is None:
        raise DocumentNotFound
    return found


@v1.get("/passages/{passage_id:path}", operation_id="passage", responses=_NOT_HERE)
def passage(passage_id: str, bot: CurrentBot) -> OnePassageOut:
    """Return one passage and where it stands. The ``#`` in an id travels as ``%23``."""
    found = bot.snapshot.passage(passage_id)
    if found is None:
        raise PassageNotFound
    return OnePassageOut.of(found, cite(found, bot.snapshot.documents, Span(found.start, found.end)))


@v1.get("/suggestions", operation_id="suggestions", responses=_UNREADY)
def suggestions(bot: CurrentBot, request: Request) -> SuggestionsOut:
    """Return starter questions, each checked to have an answer, and what else a chat window needs to begin."""
    settings: Settings = request.app.state.settings
    return SuggestionsOut(
        suggestions=list(bot.starters),
        name=settings.name,
        greeting=settings.greeting,
        limit=MAX_QUESTION,
        feedback=settings.feedback,
    )


@v1.post("/feedback", operation_id="feedback", status_code=204, responses=_FEEDBACK)
def feedback(body: FeedbackIn, request: Request) -> None:
    """Count whether an answer helped, if the operator counts."""
    if not request.app.state.settings.feedback:
        raise HTTPException(404)
    said = {True: "yes", False: "no", None: "withdrawn"}[body.helpful]
    request.app.state.metrics.feedback.labels(body.status, said).inc()


@service.get("/health/live", operation_id="live", responses=_BROKEN)
async def live() -> HealthOut:  # it and the next one take no thread, so that no question is in their way
    """Say that the process runs."""
    return HealthOut(status="live")


@service.get("/health/ready", operation_id="ready", responses=_UNREADY)
async def ready(bot: CurrentBot) -> HealthOut:
    """Say that questions can be answered, and from what."""
    snapshot = bot.snapshot
    return HealthOut(
        status="ready", snapshot=snapshot.id, documents=len(snapshot.documents), passages=len(snapshot.passages)
    )


@service.get("/metrics", operation_id="metrics", response_class=PlainTextResponse, responses=_PLAIN)
def metrics(request: Request) -> Response:
    """Return counters in the Prometheus text format."""
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _with_head(router: APIRouter) -> None:
    """Whatever can be got has a HEAD (RFC 9110, 9.1); the server leaves the body out."""
    for route in [route for route in router.routes if isinstance(route, APIRoute) and "GET" in (route.methods or ())]:
        path = route.path.removeprefix(router.prefix)
        router.add_api_route(path, route.endpoint, methods=["HEAD"], include_in_schema=False)


_with_head(v1)
_with_head(service)
