"""Every address that people's browsers use: the pages, which need no script, and the files that they load."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import Field, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from bot.api.routes import CurrentBot, answered, find
from bot.api.schemas import TurnIn
from bot.documents.canonical import line
from bot.errors import QuestionError
from bot.settings import MAX_QUESTION
from bot.types import Turn
from bot.widget.assets import asset, versioned_script
from bot.widget.pages import chat_page, document_page
from bot.widget.words import LANGUAGES, chosen_language

pages = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_TURNS = TypeAdapter(Annotated[list[TurnIn], Field(max_length=20)])


def _language(request: Request) -> str:
    return chosen_language(request.headers.get("accept-language", ""))


@pages.api_route("/", methods=["GET", "HEAD"])
def chat(request: Request, bot: CurrentBot) -> str:
    return chat_page(request.app.state.settings.name, _language(request), bot.starters)


@pages.post("/")
def chat_ask(
    request: Request,
    bot: CurrentBot,
    question: Annotated[str, Form()] = "",
    turns: Annotated[str, Form()] = "",
    alone: Annotated[str, Form()] = "",
) -> HTMLResponse:
    """The same answer as ``POST /v1/ask``, as a page. A refused question stays in its field.

    :param turns: the conversation so far, as the page before gave it; what cannot be read is no conversation.
    :param alone: if there is anything, the last turn is asked again, on its own.
    """
    name, language = request.app.state.settings.name, _language(request)
    before = _turns(turns)[: -1 if alone else None]
    try:
        answer = answered(request, bot, question, () if alone else tuple(before))
    except QuestionError as error:
        question = line(question)[:MAX_QUESTION]
        page = chat_page(name, language, bot.starters, refused=str(error), question=question, turns=before)
        return HTMLResponse(page, status_code=422)
    turn = Turn(answer.question, tuple(cited.hit.passage.id for cited in answer.passages))
    return HTMLResponse(chat_page(name, language, bot.starters, answer=answer, turns=(*before, turn)))


def _turns(said: str) -> list[Turn]:
    try:
        return [turn.to_turn() for turn in _TURNS.validate_json(said)]
    except ValidationError:
        return []


@pages.api_route("/documents/{document_id:path}", methods=["GET", "HEAD"])
def viewer(document_id: str, bot: CurrentBot, request: Request, passage: str = "", also: str = "", of: str = "") -> str:
    name = request.app.state.settings.name
    return document_page(name, _language(request), find(bot, document_id), passage, also, of)


#: Anybody may load these; a page that checks a script's bytes must be allowed to read them.
_ANYBODY = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
_ASSETS = {"pages.css": "text/css", "pages.js": "text/javascript", "signpost-chat.js": "text/javascript"}


@pages.api_route("/widget/{name}", methods=["GET", "HEAD"])
def widget_file(name: str, request: Request) -> Response:
    """A file that browsers load: checked for change each time, or kept for ever under its versioned name."""
    if name == versioned_script():
        return _file(request, "signpost-chat.js", "text/javascript", "public, max-age=31536000, immutable")
    if name not in _ASSETS:
        raise HTTPException(404)
    return _file(request, name, _ASSETS[name], "public, max-age=300, must-revalidate")


@pages.api_route("/widget/strings/{language}.json", methods=["GET", "HEAD"])
def widget_words(language: str, request: Request) -> Response:
    """What the widget says in a language."""
    if language not in LANGUAGES:
        raise HTTPException(404)
    return _file(request, f"strings/{language}.json", "application/json", "public, max-age=300, must-revalidate")


def _file(request: Request, name: str, media_type: str, kept: str) -> Response:
    content = asset(name)
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**_ANYBODY, "Cache-Control": kept, "ETag": tag}
    known = request.headers.get("if-none-match", "")  # a proxy that compresses makes a tag weak
    if known.strip() == "*" or tag in (one.strip().removeprefix("W/") for one in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)
