"""Long lists of names, and whether a question asks if a name stands in one.

"Is Kenya a member?" is answered by the list, whether Kenya stands in it or not: by the entry, or by the place between
its alphabetical neighbours where it would stand.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from bot.folding import fold
from bot.lexical import Lexical, terms_of, words_of
from bot.types import Block, Document, Passage, Span

#: Fewer entries are no list to be looked up in; longer entries are no names.
_FEWEST_ENTRIES, _MOST_WORDS = 12, 6
_IN_ORDER = 0.9  # share of neighbours in alphabetical order

#: Questions that plainly ask about belonging; that may, if a name and nothing else is asked about; that ask for
#: something and not whether; that are small talk; and the words that only say so.
_PLAINLY = re.compile(
    r"\b(?:members?|membership|part of|belongs?|belonging|join(?:ed|s)?|listed|included?|inside|take[sn]? part)\b"
    r"|\bin (?:the|this|that|your) (?:list|network|alliance|club|group|organi[sz]ation)\b",
    re.IGNORECASE,
)
_PERHAPS = re.compile(
    r"^\W*(?:and|or|but|also)\b|^\W*(?:so )?(?:is|are|was|were|does|do|did|has|have|what about|how about)\b",
    re.IGNORECASE,
)
_ASKS_ELSE = re.compile(r"^\W*(?:(?:how|what)(?! about)|which|who\w*|when|where|why)\b", re.IGNORECASE)
_TALK = re.compile(r"\b(?:you|your|me|i|i'm)\b", re.IGNORECASE)
_BELONGING_WORDS = frozenset(
    terms_of(
        "member members membership part belong belongs join joined listed list included include inside country state"
    )
)
_NAME = re.compile(r"[A-Z][\w’'.-]*(?:(?: (?:of|and|the|&))* [A-Z][\w’'.-]*)*")
_GENERIC = frozenset(terms_of("republic kingdom state states united people democratic federal islands the of"))


@dataclass(frozen=True, slots=True)
class NameList:
    """A list of names in alphabetical order: its entries, their keys in that order, and the heading above, if any."""

    document: str
    heading: Span | None
    entries: tuple[Span, ...]
    keys: tuple[str, ...]
    subject: frozenset[str]  # the content words of the document that holds it


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a list says of a name. ``entry`` is where it stands, ``None`` if it does not; ``place`` holds the entry, or
    the neighbours between which it would stand."""

    name: str
    list: NameList
    entry: Span | None
    place: Span

    def is_in(self, passage: Passage) -> bool:
        """Whether a passage holds the place."""
        here = passage.document == self.list.document
        return here and passage.start <= self.place.start and self.place.end <= passage.end


def name_lists(document: Document) -> Iterator[NameList]:
    """Yield the lists of names in a document."""
    heading: Span | None = None
    subject: frozenset[str] | None = None
    for kind, blocks in groupby(document.blocks, key=lambda block: block.kind):
        run = list(blocks)
        if kind == "heading":
            named = [block for block in run if block.end > block.start]
            heading = Span(named[-1].start, named[-1].end) if named else None
        elif kind == "item" and _is_list_of_names(document, run):
            subject = subject or frozenset(terms_of(f"{document.source.title} {document.text}"))
            entries = tuple(Span(block.start, block.end) for block in run)
            keys = tuple(_key(document.text[start:end]) for start, end in entries)
            yield NameList(document.id, heading, entries, keys, subject)


def _is_list_of_names(document: Document, run: Sequence[Block]) -> bool:
    if len(run) < _FEWEST_ENTRIES:
        return False
    names = [document.text[block.start : block.end] for block in run]
    ordered = sum(_key(one) <= _key(other) for one, other in pairwise(names)) / (len(names) - 1)
    return ordered >= _IN_ORDER and all(len(name.split()) <= _MOST_WORDS for name in names)


def _key(name: str) -> str:
    return "".join(character for character in fold(name) if character.isalnum())


def look_up(question: str, lists: Sequence[NameList], texts: Mapping[str, Document], lexical: Lexical) -> Lookup | None:
    """Return what a list says of the name that a question asks about, or ``None`` if it asks about something else.

    All that a question says besides the name must be words of belonging or of the list's own document.
    """
    plainly = bool(_PLAINLY.search(question))
    if not lists or not (plainly or (_PERHAPS.search(question) and not _TALK.search(question))):
        return None
    asked = set(terms_of(question))
    for names in lists:
        text = texts[names.document].text
        found = [
            span
            for span in names.entries
            if (own := set(terms_of(text[span.start : span.end])) - _GENERIC) and own <= asked
        ]
        if len(found) == 1:
            rest = asked - set(terms_of(text[found[0].start : found[0].end])) - _BELONGING_WORDS
            if rest <= names.subject:
                return Lookup(text[found[0].start : found[0].end], names, found[0], found[0])
    return _absent(question, asked, lists, lexical, plainly)


def _unknown(names: Sequence[str], lexical: Lexical) -> list[str]:
    """The names of which no document uses any word."""
    return [name for name in names if terms_of(name) and not any(map(lexical.knows, terms_of(name)))]


def _bare(name: str) -> str:
    """A name without the small words before it: a question's first word has a capital too."""
    words = name.split()
    while words and not terms_of(words[0]):
        words.pop(0)
    return " ".join(words)


def _absent(
    question: str, asked: set[str], lists: Sequence[NameList], lexical: Lexical, plainly: bool
) -> Lookup | None:
    """A name that no document holds, looked for in the one list that the rest of the question can be about.

    A word without a capital is taken for a name only where the question plainly asks about belonging, and whether: the
    unknown word of "how menny members" is a slip and no name.
    """
    asks_else = _ASKS_ELSE.search(question) is not None
    capitalised = [_bare(match[0]) for match in _NAME.finditer(question)]
    candidates = _unknown(capitalised, lexical) or (
        _unknown(words_of(question), lexical) if plainly and not asks_else else []
    )
    if len(candidates) != 1:
        return None
    rest = asked - set(terms_of(candidates[0])) - _BELONGING_WORDS
    about = [names for names in lists if rest <= names.subject]
    if len(about) != 1:
        return None
    names = about[0]
    after = bisect_left(names.keys, _key(candidates[0]))
    before = max(0, after - 1)
    last = min(after, len(names.entries) - 1)
    return Lookup(candidates[0], names, None, Span(names.entries[before].start, names.entries[last].end))
