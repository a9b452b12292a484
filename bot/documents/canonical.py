"""Bytes and raw text -> the one text that every offset refers to."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from charset_normalizer import from_bytes

from bot.errors import DocumentError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")

#: Spaces that look like a space and are matched as one: no-break, figure, thin, ideographic, ...
_SPACES = re.compile("[\t\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")

#: What a reader cannot see and what can hide or reorder words: controls, bidi embeddings and overrides, tag
#: characters, zero-width spaces, soft hyphens, surrogates, non-characters. Direction *marks* (U+200E, U+200F) stay:
#: right-to-left text needs them and they cannot reorder other words.
_DANGEROUS = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u202a-\u202e"
    "\u2060-\u206f\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + "".join(chr(plane * 0x10000 + last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)

#: Joiners shape Persian, Indic scripts and emoji, and must stay there; between Latin, Greek or Cyrillic letters they
#: only split words.
_STRAY_JOINERS = re.compile("(?<![\u0530-\u1dff\u2000-\U0010ffff])[\u200c\u200d]+")

_SPACE_RUNS = re.compile(" {2,}")
_LINE_EDGES = re.compile(" *\n *")
_BLANK_RUNS = re.compile("\n{4,}")


def decode(data: bytes) -> str:
    """Return the text in a file's bytes: by its byte order mark, else as UTF-8, else by the likeliest encoding.

    :raises DocumentError: if the bytes are not text.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError as error:
                raise DocumentError(f"begins like {encoding} but is not: {error.reason}") from error
            break
    else:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = _decode_older(data)
    if "\0" in text:
        raise DocumentError("is not text: it holds NUL bytes")
    return text


def _decode_older(data: bytes) -> str:
    """Guess among the encodings from before Unicode; where Windows-1252 fits as well as any, it is the likeliest."""
    found = from_bytes(data) if b"\0" not in data else None
    best = found.best() if found is not None else None
    if found is None or best is None:
        raise DocumentError("is not text in any known encoding")
    for match in found:
        if match.encoding in ("cp1252", "latin_1") and match.chaos <= best.chaos + 0.06:
            return data.decode("cp1252", "replace")
    return str(best)


#: How many characters each cleaning has removed, while somebody counts.
_removed: ContextVar[list[int] | None] = ContextVar("removed", default=None)


@contextmanager
def counting() -> Iterator[list[int]]:
    """Count the characters that :func:`clean` removes because they cannot be seen: a number for each text."""
    counts: list[int] = []
    token = _removed.set(counts)
    try:
        yield counts
    finally:
        _removed.reset(token)


def clean(text: str) -> str:
    """Return text in Unicode NFC, with ``\\n`` line ends, plain spaces, and nothing in it that cannot be seen.

    ``clean(clean(text)) == clean(text)``. Code keeps its indentation this way; prose goes through :func:`prose`.
    """
    text = unicodedata.normalize("NFC", text)
    text = _SPACES.sub(" ", _LINE_ENDS.sub("\n", text))
    text, dangerous = _DANGEROUS.subn("", text)
    text, stray = _STRAY_JOINERS.subn("", text)
    if (counts := _removed.get()) is not None:
        counts.append(dangerous + stray)
    return unicodedata.normalize("NFC", text)


def prose(text: str) -> str:
    """Return cleaned text with single spaces, bare line edges, and at most two blank lines in a row."""
    text = _SPACE_RUNS.sub(" ", clean(text))
    return _BLANK_RUNS.sub("\n\n\n", _LINE_EDGES.sub("\n", text)).strip()


def line(text: str) -> str:
    """Return prose on one line."""
    return " ".join(clean(text).split())
