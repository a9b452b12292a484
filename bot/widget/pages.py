"""Answers and documents -> pages. Templates escape everything; nothing of a document or a question is ever markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from bot.settings import MAX_QUESTION
from bot.types import Answer, Block, CitedPassage, Document, Span

_templates = Environment(
    loader=PackageLoader("bot.widget"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PLACE = re.compile(r"(\d{1,9})-(\d{1,9})")
_LIST_MARK = re.compile(r"(?:\S|\d{1,3}[.)]) $")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of characters on a page, marked or not."""

    text: str
    marked: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A block as the viewer shows it; ``mark`` is its bullet or number."""

    block: Block
    mark: str
    pieces: tuple[Piece, ...]


def long_date(day: date) -> str:
    """Write a date so that nobody can take the month for the day: 4 March 2024."""
    return f"{day.day} {day:%B %Y}"


def pieces(text: str, spans: Sequence[Span]) -> tuple[Piece, ...]:
    """Cut a text at the edges of spans that lie in it, in order, without overlap."""
    cut, position = [], 0
    for start, end in spans:
        cut += [Piece(text[position:start], False), Piece(text[start:end], True)]
        position = end
    cut.append(Piece(text[position:], False))
    return tuple(piece for piece in cut if piece.text)


def cited_pieces(cited: CitedPassage) -> tuple[Piece, ...]:
    """Return a passage's text with its marked sentence."""
    return pieces(cited.hit.passage.text, cited.highlights)


_templates.filters.update(long_date=long_date, cited_pieces=cited_pieces)


def chat_page(
    name: str, starters: Sequence[str], *, answer: Answer | None = None, refused: str = "", question: str = ""
) -> str:
    """Return the chat page: the form, and below it the answer or the reason why the question was refused."""
    return _templates.get_template("chat.html").render(
        name=name, starters=starters, answer=answer, refused=refused, question=question, limit=MAX_QUESTION
    )


def document_page(name: str, document: Document, place: str = "") -> str:
    """Return the whole document, readable and printable, with the stretch ``start-end`` marked, if there is one."""
    found = _PLACE.fullmatch(place)
    marked = Span(int(found[1]), int(found[2])) if found else Span(0, 0)
    if not 0 <= marked.start < marked.end <= len(document.text):
        marked = Span(0, 0)
    shown = [_show(document, block, marked) for block in document.blocks if block.end > block.start]
    groups = [(kind, list(blocks)) for kind, blocks in groupby(shown, key=_group)]
    return _templates.get_template("document.html").render(
        name=name, document=document, groups=groups, anchor=f"p{place}", anchored=_first_marked(shown)
    )


def _show(document: Document, block: Block, marked: Span) -> Shown:
    text = document.text[block.start : block.end]
    start, end = max(marked.start, block.start), min(marked.end, block.end)
    spans = [Span(start - block.start, end - block.start)] if start < end else []
    before = document.text[document.text.rfind("\n", 0, block.start) + 1 : block.start]
    mark = before if block.kind == "item" and _LIST_MARK.fullmatch(before) else ""
    return Shown(block, mark, pieces(text, spans))


def _group(item: Shown) -> str:
    """Blocks of one group stand in one element: ``numbered`` items in an ordered list."""
    return "numbered" if item.mark[:1].isdigit() else item.block.kind


def _first_marked(shown: Sequence[Shown]) -> int:
    starts: Iterator[int] = (item.block.start for item in shown if any(piece.marked for piece in item.pieces))
    return next(starts, -1)


def error_page(name: str, status: int, detail: str, request_id: str) -> str:
    """Return a page that says what went wrong and how to go on."""
    return _templates.get_template("error.html").render(name=name, status=status, detail=detail, request_id=request_id)
