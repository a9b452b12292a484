"""Answers and documents -> pages. Templates escape everything; nothing of a document or a question is ever markup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from bot.answer import viewer_link
from bot.settings import MAX_QUESTION
from bot.types import Answer, Block, CitedPassage, Document, Span, Turn
from bot.widget.words import words

_templates = Environment(
    loader=PackageLoader("bot.widget"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PLACE = re.compile(r"(\d{1,9})-(\d{1,9})")
#: Turns that a page's form carries.
_CARRIED = 4

#: Citations of one answer that a document's page leads to at most.
_MOST_CITED = 20

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


_templates.filters.update(cited_pieces=cited_pieces)


def _render(template: str, name: str, language: str, **values: object) -> str:
    table = words(language)

    def say(key: str, **details: object) -> str:
        return table[key].format(**details)

    def day(value: date) -> str:
        """A date that cannot be misread; months are written as words only in English."""
        return long_date(value) if language == "en" else value.isoformat()

    return _templates.get_template(template).render(name=name, say=say, day=day, **values)


def chat_page(
    name: str,
    language: str,
    starters: Sequence[str],
    *,
    answer: Answer | None = None,
    refused: str = "",
    question: str = "",
    turns: Sequence[Turn] = (),
) -> str:
    """Return the chat page: the form, and above it the answer or the reason why the question was refused.

    The form carries the last of the ``turns`` to the next question, since nothing else remembers them.

    With scripts the widget takes the form's place.
    """
    return _render(
        "chat.html",
        name,
        language,
        starters=starters,
        answer=answer,
        refused=refused,
        question=question,
        limit=MAX_QUESTION,
        turns=json.dumps([asdict(turn) for turn in turns[-_CARRIED:]]) if turns else "",
    )


def document_page(name: str, language: str, document: Document, place: str = "", also: str = "", of: str = "") -> str:
    """Return the whole document, readable and printable, with the stretch ``start-end`` marked, if there is one.

    :param also: other stretches that the same answer cites, with commas between; the page leads to the one before and
        the one after.
    :param of: how the sha256 of the document that was cited begins; of another nothing is marked, and the page says so.
    """
    changed = not document.sha256.startswith(of)
    if changed:
        place = also = ""
    marked = _stretch(document, place) or Span(0, 0)
    shown = [_show(document, block, marked) for block in document.blocks if block.end > block.start]
    groups = [(kind, list(blocks)) for kind, blocks in groupby(shown, key=_group)]
    cited = sorted({marked, *(span for other in also.split(",")[:_MOST_CITED] if (span := _stretch(document, other)))})
    at = cited.index(marked)
    return _render(
        "document.html",
        name,
        language,
        document=document,
        groups=groups,
        anchor=f"p{place}",
        anchored=_first_marked(shown),
        changed=changed,
        before=_link(document, cited, at - 1) if marked.end and at else None,
        after=_link(document, cited, at + 1) if marked.end and at + 1 < len(cited) else None,
    )


def _stretch(document: Document, place: str) -> Span | None:
    found = _PLACE.fullmatch(place)
    span = Span(int(found[1]), int(found[2])) if found else Span(0, 0)
    return span if span.start < span.end <= len(document.text) else None


def _link(document: Document, cited: Sequence[Span], at: int) -> str:
    return viewer_link(
        document.id, document.sha256, cited[at], [span for number, span in enumerate(cited) if number != at]
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


def error_page(name: str, language: str, status: int, detail: str, request_id: str) -> str:
    """Return a page that says what went wrong and how to go on."""
    return _render("error.html", name, language, status=status, detail=detail, request_id=request_id)
