"""A Document -> its Passages: sentence-aligned, inside one section, and within the encoder's limit.

A section that fits is one passage. A longer one is cut into passages of about equal length, at the ends of blocks
where that is possible, each beginning with the last sentence of the one before (the last two entries in a list), so
that what stands beside a cut is found from both sides.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from sentencex import get_sentence_boundaries

from bot.types import Block, Document, Encoder, Passage, Span

#: Part of a snapshot's identity: raise it when the same document would be split differently.
SPLITTER_VERSION = 3

#: A heading trail longer than this share of the encoder's limit is cut, so that the passage itself has room.
_PREFIX_SHARE = 0.25

#: A sentence of fewer words is read in its context.
_LONE_WORDS = 5

#: Of a paragraph, one of so few is not.
_SPOKEN_WORDS = 2

#: A word that the encoder does not know is one token however long it is; for these many characters, another is counted.
_LONGEST_TOKEN = 16

CountTokens = Callable[[Sequence[Span]], list[int]]


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is never cut again: a sentence, an entry of a list, a row. ``block`` tells which units belong together.

    ``tokens`` are its own, without the special tokens that the model puts around a whole text.
    """

    span: Span
    tokens: int
    block: int
    entry: bool


@dataclass(frozen=True, slots=True)
class _Section:
    headings: tuple[str, ...]
    blocks: tuple[Block, ...]


def context_of(title: str, headings: Sequence[str]) -> str:
    """Return what stands before a passage for the encoder and the lexical index: title, then heading trail."""
    trail: list[str] = []
    for heading in (title, *headings):
        if heading and heading.casefold() not in (known.casefold() for known in trail):
            trail.append(heading)
    return ". ".join([*trail, ""])


def split(document: Document, encoder: Encoder, *, aim: int) -> tuple[Passage, ...]:
    """Split a document into passages, in reading order; every block is in at least one.

    With its context before it, no passage is longer than ``encoder.max_tokens``.

    :param aim: the length a passage aims at, in tokens; the encoder's limit wins where it is lower.
    """
    passages: list[Passage] = []
    for section in _sections(document):
        context = _fitting_context(document, section.headings, encoder)
        limit = min(aim, encoder.max_tokens - encoder.count_tokens([context])[0])
        while True:
            units = tuple(_units(document, section, encoder, limit))
            cut = [_passage(document, section, chosen) for chosen in _pack(units, limit)]
            texts = [context + passage.text for passage in cut]
            # Token counts add up exactly for word pieces, nearly for other tokenizers: so the result is measured.
            if limit <= 8 or all(count <= encoder.max_tokens for count in encoder.count_tokens(texts)):
                break
            limit = limit * 9 // 10
        passages.extend(cut)
    return tuple(passages)


def encoder_text(document: Document, passage: Passage, encoder: Encoder) -> str:
    """Return the passage with title and headings before it, as the encoder reads it; a quote never holds them."""
    return _fitting_context(document, passage.headings, encoder) + passage.text


def sentence_texts(document: Document, passage: Passage, encoder: Encoder) -> list[str]:
    """Return the passage's sentences as the encoder reads them.

    A sentence of a few words, as in a list of names, says nothing alone ("Mongolia") and would match any question with
    that word, so it is read with its title and headings before it. A word or two between others ("Yes.", "Best wishes")
    are not, unless they introduce something: they would match any question about the topic.
    """
    context = _fitting_context(document, passage.headings, encoder)

    def is_spoken(at: int, text: str) -> bool:
        number = bisect_right(document.blocks, at, key=lambda block: block.start) - 1
        few = len(text.split()) <= _SPOKEN_WORDS and not text.endswith(":")
        return few and document.blocks[number].kind == "paragraph"

    sentences = [(span.start, passage.sentence_text(number)) for number, span in enumerate(passage.sentences)]
    return [
        context + text if len(text.split()) < _LONE_WORDS and not is_spoken(at, text) else text
        for at, text in sentences
    ]


def topic_text(document: Document, passage: Passage, encoder: Encoder) -> str:
    """Return what the passage is about, as the encoder reads it: its title and headings alone."""
    return _fitting_context(document, passage.headings, encoder)


def _fitting_context(document: Document, headings: tuple[str, ...], encoder: Encoder) -> str:
    context = context_of(document.source.title, headings)
    most = int(encoder.max_tokens * _PREFIX_SHARE)
    while context and encoder.count_tokens([context])[0] > most:
        words = context.split()
        context = " ".join(words[: len(words) // 2]) + ". " if len(words) > 1 else ""
    return context


def _sections(document: Document) -> Iterator[_Section]:
    """Cut the document at its headings; a heading with nothing below it becomes a section that holds itself."""
    trail: list[tuple[int, Block]] = []
    body: list[Block] = []

    def section(blocks: list[Block]) -> _Section:
        named = (document.text[block.start : block.end] for _, block in trail if block.end > block.start)
        return _Section(tuple(named), tuple(blocks))

    for number, block in enumerate(document.blocks):
        if block.kind != "heading":
            body.append(block)
            continue
        if body:
            yield section(body)
            body = []
        while trail and trail[-1][0] >= block.level:
            trail.pop()
        if block.end > block.start and _is_barren(document.blocks, number):
            yield section([block])
        trail.append((block.level, block))
    if body:
        yield section(body)


def _is_barren(blocks: Sequence[Block], number: int) -> bool:
    """Whether there is nothing below a heading: no text, and no heading that would carry its words in a trail."""
    for at in range(number + 1, len(blocks)):
        block = blocks[at]
        if block.kind != "heading":
            return False
        if block.level <= blocks[number].level:
            return True
        if block.end > block.start:
            return False
    return True


def _units(document: Document, section: _Section, encoder: Encoder, limit: int) -> Iterator[_Unit]:
    language = (document.source.language or "en").split("-")[0].lower()
    spans: list[tuple[Span, int, bool]] = []
    for number, block in enumerate(section.blocks):
        text = document.text[block.start : block.end]
        for start, end in _pieces(text, block.kind, language):
            spans.append((Span(block.start + start, block.start + end), number, block.kind in ("item", "row")))

    special = encoder.count_tokens([""])[0]

    def count(chosen: Sequence[Span]) -> list[int]:
        counts = encoder.count_tokens([document.text[a:b] for a, b in chosen])
        return [max(n - special, (b - a) // _LONGEST_TOKEN) for n, (a, b) in zip(counts, chosen, strict=True)]

    for (span, number, entry), tokens in zip(spans, count([span for span, _, _ in spans]), strict=True):
        parts = [span] if tokens <= limit else list(_halves(document.text, span, count, limit))
        for part, part_tokens in zip(parts, [tokens] if len(parts) == 1 else count(parts), strict=True):
            yield _Unit(part, part_tokens, number, entry)


def _pieces(text: str, kind: str, language: str) -> Iterator[Span]:
    """Yield the sentences of a block, without the space around them."""
    if kind == "code":
        boundaries = []
        start = 0
        for words in text.split("\n"):
            boundaries.append((start, start + len(words)))
            start += len(words) + 1
    elif kind == "row":
        boundaries = [(0, len(text))]
    else:
        boundaries = [(b["start_index"], b["end_index"]) for b in get_sentence_boundaries(language, text)]
    for start, end in boundaries:
        words = text[start:end]
        left = len(words) - len(words.lstrip())
        bare = words.strip()
        if bare:
            yield Span(start + left, start + left + len(bare))


def _halves(text: str, span: Span, count: CountTokens, limit: int) -> Iterator[Span]:
    """Cut a sentence that is too long for the encoder near its middle, between words where there are any."""
    todo = [span]
    while todo:
        start, end = todo.pop()
        if end - start < 2 or count([Span(start, end)])[0] <= limit:
            yield Span(start, end)
            continue
        middle = (start + end) // 2
        space = text.rfind(" ", start + 1, middle)
        left, right = (space, space + 1) if space > start + (end - start) // 4 else (middle, middle)
        todo += [Span(right, end), Span(start, left)]


def _pack(units: Sequence[_Unit], limit: int) -> Iterator[Sequence[_Unit]]:
    """Cut a section's units into runs of at most ``limit`` tokens, of about equal length, overlapping."""
    start = 0
    upto = [0, *accumulate(unit.tokens for unit in units)]
    while True:
        left = upto[-1] - upto[start]
        if left <= limit:
            yield units[start:]
            return
        share = left / -(-left // limit)  # so that the last run is not a mere rest
        end, tokens, fair = start, 0, 0
        while end < len(units) and (end == start or tokens + units[end].tokens <= limit):
            fair = fair or (end if tokens >= share else 0)
            if fair and units[end].block != units[end - 1].block:
                break
            tokens += units[end].tokens
            end += 1
        else:
            end = _block_end(units, start, end) or fair or end
        yield units[start:end]
        if end == len(units):
            return
        shared = units[end - (2 if units[end - 1].entry else 1) : end]
        fits = len(shared) < end - start and sum(unit.tokens for unit in shared) <= limit // 4
        start = end - len(shared) if fits else end


def _block_end(units: Sequence[_Unit], start: int, end: int) -> int:
    """Return the last end of a block in a run, or 0 if half of the run or less would stay before it."""
    tokens = kept = sum(unit.tokens for unit in units[start:end])
    for cut in range(end, start, -1):
        if cut == len(units) or units[cut].block != units[cut - 1].block:
            return cut if 2 * kept > tokens else 0
        kept -= units[cut - 1].tokens
    return 0


def _passage(document: Document, section: _Section, units: Sequence[_Unit]) -> Passage:
    start, end = units[0].span.start, units[-1].span.end
    first = section.blocks[units[0].block]
    return Passage(
        document=document.id,
        start=start,
        end=end,
        text=document.text[start:end],
        headings=section.headings,
        sentences=tuple(unit.span for unit in units),
        page=first.page,
    )
