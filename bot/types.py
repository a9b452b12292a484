"""The values that flow through the bot, from a file on disk to a reply on screen.

    Document -> Passage -> one row of Embeddings -> Hit -> Answer

Everything here is immutable and knows nothing of files, FAISS or HTTP, so every other module may import
it and it imports none of them. All offsets count Unicode code points in the canonical text of a document,
the first one included, the last one excluded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

#: Shape (n, dim), float32, each row of length 1: a dot product of two rows is their cosine,
#: between -1 (opposite) and 1 (same direction).
Embeddings: TypeAlias = npt.NDArray[np.float32]

#: Called with the number of things done so far, for a progress bar.
Progress: TypeAlias = Callable[[int], None]


class Span(NamedTuple):
    """A stretch of a document: ``document.text[start:end]``."""

    start: int
    end: int


BlockKind: TypeAlias = Literal["heading", "paragraph", "item", "row", "code"]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document's structure, in reading order.

    ``level`` is 1 to 6 for a heading and 0 for anything else. A heading with ``start == end`` is one that got
    lost in the source: it ends the section before it without naming the next one. ``page`` is where it begins, counted
    from 1, in a format that has pages (slides, sheets); ``anchor`` is the name by which a link into the source finds a
    heading.
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    page: int | None = None
    anchor: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a document comes from, as its author states it. What is not stated is ``None``, never guessed.

    ``verbatim`` says whether the text is the very text at ``url``, so that a link may point into it, or says it in
    other words.
    """

    title: str
    publisher: str | None = None
    url: str | None = None
    published: date | None = None
    updated: date | None = None
    retrieved: date | None = None
    language: str | None = None
    verbatim: bool | None = None
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """One readable file of the corpus.

    ``id`` is its path below the corpus folder, always with forward slashes; ``sha256`` is of the file's bytes;
    ``text`` is its canonical text; ``questions`` are questions that its author says it answers; ``notes`` say what of
    the file could not be read.
    """

    id: str
    sha256: str
    source: Source
    text: str
    blocks: tuple[Block, ...]
    questions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def characters(self) -> int:
        """Length of the text."""
        return len(self.text)


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of one document, small enough for the encoder: the unit that is retrieved.

    Invariant: ``text == document.text[start:end]``. Equality covers the place as well as the words, so the
    same sentence in two files stays two passages. ``sentences`` lie inside, in order, and do not overlap.
    """

    document: str
    start: int
    end: int
    text: str
    headings: tuple[str, ...]
    sentences: tuple[Span, ...]
    page: int | None = None

    def __post_init__(self) -> None:
        if len(self.text) != self.end - self.start or not self.sentences:
            raise ValueError(f"passage {self.id} does not fit its offsets")

    @property
    def id(self) -> str:
        """A stable, readable address, e.g. ``leave/parental.md#120-480``."""
        return f"{self.document}#{self.start}-{self.end}"

    def sentence_text(self, number: int) -> str:
        """Return the words of the sentence at a position, counted from 0."""
        start, end = self.sentences[number]
        return self.text[start - self.start : end - self.start]


@dataclass(frozen=True, slots=True)
class Scores:
    """Why a passage ranks where it does. ``total`` makes the order; the parts are absolute, not relative.

    ``passage`` and ``sentence`` are cosines of the question with the passage and with its best sentence, -1 to 1;
    ``lexical`` is BM25 as a share, 0 to 1, of the highest that the question could reach, more with borrowed words;
    ``around_passage`` and ``around_lexical`` are the same two, averaged over it and up to two passages of its document
    on either side, or over those around another candidate among them, where that is more; ``bonus`` is what it gains
    for holding the kind of thing that is asked for, or the place in a list;
    ``marked`` is the cosine of the marked sentence, ``beyond`` that with what is asked beyond the passage's topic.
    """

    passage: float
    sentence: float
    lexical: float
    around_passage: float
    around_lexical: float
    total: float
    bonus: float = 0.0
    marked: float = 0.0
    beyond: float = 0.0


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that matched, how well, and the position of its best sentence in ``passage.sentences``.

    ``elsewhere`` are passages that say the same in almost the same words, in the order of their scores.
    """

    passage: Passage
    scores: Scores
    best_sentence: int
    elsewhere: tuple[Passage, ...] = ()


class Sourced(Protocol):
    """A document, or a record of one."""

    @property
    def id(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def source(self) -> Source: ...
    @property
    def characters(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Filters:
    """Limits a search. Each list names what may be returned; an empty one does not limit."""

    publisher: tuple[str, ...] = ()
    document: tuple[str, ...] = ()
    language: tuple[str, ...] = ()

    @property
    def limits(self) -> bool:
        """Whether anything is named, so that not every document may be quoted."""
        return bool(self.publisher or self.document or self.language)

    def admit(self, document: Sourced) -> bool:
        """Whether a document may be quoted."""
        source = document.source
        return (
            (not self.publisher or source.publisher in self.publisher)
            and (not self.document or document.id in self.document)
            and (not self.language or source.language in self.language)
        )


@dataclass(frozen=True, slots=True)
class Correction:
    """A word of the question, as written, and what was searched for instead."""

    written: str
    searched: str


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier question of a conversation, as it was asked, and the ids of the passages that were shown for it, best
    first."""

    question: str
    passages: tuple[str, ...] = ()


Status: TypeAlias = Literal["answered", "unsure", "not_found"]


@dataclass(frozen=True, slots=True)
class Links:
    """``viewer`` is relative to this service; the others lead to the publisher, where a URL is known.

    ``source_at_passage`` leads into the source: by a text fragment where the document is verbatim, else to the page of
    a PDF or the anchor of a heading.
    """

    viewer: str
    source: str | None = None
    source_at_passage: str | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a quote stands, exactly."""

    document: str
    sha256: str
    start: int
    end: int
    headings: tuple[str, ...]
    page: int | None
    source: Source
    links: Links


@dataclass(frozen=True, slots=True)
class CitedPassage:
    """A passage as a person sees it. ``highlights`` count from the start of the passage, not of the document.

    ``elsewhere`` cites the other places that say the same in almost the same words.
    """

    hit: Hit
    citation: Citation
    highlights: tuple[Span, ...]
    elsewhere: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Quote:
    """The marked sentence, verbatim: ``text == document.text[start:end]``."""

    text: str
    passage: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an answer is as it is, for operators and the curious.

    ``matched`` holds, for each passage shown, the words of the question, as searched for, that it has; ``signals`` is
    what the confidence was made of, by name; ``reasons`` say in words why the status is what it is.
    """

    matched: tuple[tuple[str, ...], ...]
    signals: Mapping[str, float]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person gets.

    ``confidence`` is the probability, 0 to 1, that the passages answer the question. ``quote`` is ``None`` when the
    status is ``not_found``; the passages are then near misses. ``snapshot`` names the index that was asked, so
    that any answer can be reproduced. ``corrections`` are words taken for misspelt, ``expansions`` short forms that
    were spelt out; ``borrowed`` words of earlier questions, as searched for, that this one was read with; ``notes``
    say what the quote alone does not, such as that a name is not in the list that was looked through.
    """

    question: str
    status: Status
    confidence: float
    quote: Quote | None
    passages: tuple[CitedPassage, ...]
    unknown_words: tuple[str, ...]
    suggestions: tuple[str, ...]
    corrections: tuple[Correction, ...]
    expansions: tuple[Correction, ...]
    borrowed: tuple[str, ...]
    notes: tuple[str, ...]
    snapshot: str
    explanation: Explanation | None = None


class Encoder(Protocol):
    """Turns text into vectors. The one seam that a new embedding model plugs into.

    Questions and passages have separate doors because many models want a different prefix for each (E5, BGE);
    a symmetric model uses the same code behind both. Implementations may be called from several threads.
    """

    @property
    def fingerprint(self) -> str:
        """Identifies the model, its weights and all that changes its vectors; written into every snapshot."""

    @property
    def dim(self) -> int:
        """Length of one vector."""

    @property
    def max_tokens(self) -> int:
        """Most tokens that one text may have, the model's own special tokens included; what is beyond is lost."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return each text's length in tokens, special tokens included, with truncation off."""

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the numbers of each text's word pieces, in order, without special tokens and without truncation."""

    def encode_passages(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        """Return shape ``(len(texts), dim)``, rows in the order of ``texts``."""

    def encode_question(self, text: str) -> Embeddings:
        """Return shape ``(1, dim)``."""
