"""What is read of each document to find it by its words: kept in the snapshot, so that the next one need not read again
what has not changed. Nothing else uses it: a question is answered from the index that is made of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from bot.lexical import Pieces, read_terms
from bot.passages import context_of
from bot.types import Document, Passage
from bot.vocabulary import Learnt, learn

#: Bytes of one document's reading, unpacked, that are believed.
_MOST = 1 << 30


@dataclass(frozen=True, slots=True)
class Reading:
    """The words and pieces of each passage of a document, title and headings among them, with spaces between them; and
    what its text tells of words."""

    passages: tuple[tuple[str, str], ...]
    learnt: Learnt


_READING = TypeAdapter(Reading)


def read(document: Document, passages: Sequence[Passage], pieces: Pieces) -> Reading:
    """Read a document, of which ``passages`` are all."""
    texts = [context_of(document.source.title, passage.headings) + passage.text for passage in passages]
    terms = read_terms(texts, pieces)
    return Reading(tuple((" ".join(own.words), " ".join(own.pieces)) for own in terms), learn(document.text))


def packed(reading: Reading) -> bytes:
    """Return a reading as it is stored."""
    return zlib.compress(_READING.dump_json(reading), 1)


def unpacked(data: bytes) -> Reading:
    """Return what was packed.

    :raises ValueError: if it is no reading.
    """
    unpacking = zlib.decompressobj()
    try:
        return _READING.validate_json(unpacking.decompress(data, _MOST))
    except zlib.error as error:
        raise ValueError("a reading cannot be unpacked") from error
