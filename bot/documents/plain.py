"""Plain text, as people save it from the web or from an editor -> canonical text and its blocks.

Nothing marks a heading in plain text, so they are told by their looks: short, unpunctuated, followed by prose. Two
habits of pages saved as text are known: a heading that got lost leaves more blank lines than usual, and a list of
names becomes one long line.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.documents.canonical import prose
from bot.documents.content import Content
from bot.types import Block, Span

#: Lines of a page's furniture: they say nothing of the subject, and what follows them is another matter.
_FURNITURE = frozenset(
    (
        "learn more | read more | see more | show more | on this page | back to top | skip to content | "
        "skip to main content | menu | share | share this page | print | print this page | contents | search | "
        "close"
    ).split(" | ")
)
_BULLET = re.compile(r"(?:[•‣◦▪●·*–—-]|\d{1,3}[.)]|\(?[a-z][.)])\s+(?=\S)")
_SENTENCE_END = re.compile(r"[.!?…:;,]$")
_INNER_SENTENCE = re.compile(r"[.!?…]\s+\S")
_MAX_HEADING = 120  # characters
_MAX_HEADING_WORDS = 16
_NARROWEST_WRAP, _WIDEST_WRAP = 20, 132  # characters; lines are broken by hand at widths between
_FEWEST_NAMES = 12  # in a run of names; fewer may be chance


def read_plain(raw: str) -> Content:
    """Read a text file. Its title is its first heading, if it has one."""
    text = prose(raw)
    blocks = tuple(_blocks(text))
    title = next((text[block.start : block.end] for block in blocks if block.kind == "heading"), "")
    return Content(text, blocks, {"title": title} if title else {})


@dataclass(frozen=True, slots=True)
class _Line:
    """One or more lines that belong together, and the number of blank lines before."""

    start: int
    end: int
    blank_before: int
    bullet: int  # characters of the bullet, 0 for none


def _blocks(text: str) -> Iterator[Block]:
    lines = _unwrapped(text)
    looks = [_looks_like_heading(text[line.start : line.end]) and not line.bullet for line in lines]
    wide_gaps = [line.blank_before >= 2 for line in lines[1:]]
    gap_means_break = 0 < 4 * sum(wide_gaps) <= len(wide_gaps)
    titled = False

    for number, line in enumerate(lines):
        words = text[line.start : line.end]
        after = lines[number + 1] if number + 1 < len(lines) else None
        if words.rstrip(":").casefold() in _FURNITURE:
            yield Block("heading", line.start, line.start, 2)
        elif looks[number] and after is not None and (not looks[number + 1] or not titled or after.blank_before):
            yield Block("heading", line.start, line.end, 2 if titled else 1)
            titled = True
        else:
            if gap_means_break and line.blank_before >= 2:
                yield Block("heading", line.start, line.start, 2)
            names = _run_of_names(text, line)
            if names:
                yield from (Block("item", start, end) for start, end in names)
            else:
                yield Block("item" if line.bullet else "paragraph", line.start + line.bullet, line.end)


def _unwrapped(text: str) -> list[_Line]:
    """Join the lines that were broken by hand.

    A line was broken if the next one's first word would not have fitted on it.
    """
    width = max(map(len, text.split("\n")), default=0)
    lines: list[_Line] = []
    position = blank = 0
    for words in text.split("\n"):
        start, end = position, position + len(words)
        position = end + 1
        if not words:
            blank += 1
            continue
        bullet = _BULLET.match(words)
        broken = (
            lines
            and not blank
            and not bullet
            and _NARROWEST_WRAP <= width <= _WIDEST_WRAP
            and lines[-1].end - text.rfind("\n", 0, lines[-1].end) + len(words.split(" ", 1)[0]) > width
        )
        if broken:
            lines[-1] = _Line(lines[-1].start, end, lines[-1].blank_before, lines[-1].bullet)
        else:
            lines.append(_Line(start, end, blank if lines else 0, bullet.end() if bullet else 0))
        blank = 0
    return lines


def _looks_like_heading(words: str) -> bool:
    return (
        len(words) <= _MAX_HEADING
        and len(words.split()) <= _MAX_HEADING_WORDS
        and any(character.isalpha() for character in words)
        and not words[0].islower()
        and not _SENTENCE_END.search(words)
        and not _INNER_SENTENCE.search(words)
    )


def _run_of_names(text: str, line: _Line) -> Sequence[Span]:
    """Find the entries of a list that stands on one line without commas; empty if the line is no such list.

    Such lists are in alphabetical order, which tells where a name begins: at the words of the longest run that
    never steps back in the alphabet (a longest non-decreasing subsequence; Fredman 1975). "Costa Rica" stays whole
    because "Croatia" follows, "The Netherlands" because "The Philippines" does.
    """
    words = [Span(match.start(), match.end()) for match in re.finditer(r"\S+", text[line.start : line.end])]
    if line.bullet or len(words) < _FEWEST_NAMES:
        return ()
    words = [Span(line.start + start, line.start + end) for start, end in words]
    names = [text[start:end] for start, end in words]
    if any(name[-1] in ".!?;:" for name in names[:-1]):
        return ()

    capitals: list[int] = []
    depth = 0
    for number, name in enumerate(names):
        joined = number > 0 and (names[number - 1].endswith(",") or (not names[number - 1][-1].isalnum() and not depth))
        joined = joined and not names[number - 1].endswith(")")
        if not depth and name[0].isupper() and not joined:
            capitals.append(number)
        depth = max(0, depth + name.count("(") - name.count(")"))

    tails: list[str] = []  # the least last key of any run of each length
    ends: list[int] = []  # the word that it belongs to
    before: dict[int, int | None] = {}
    for number in capitals:
        key = _sort_key(names[number])
        place = bisect_right(tails, key)
        before[number] = ends[place - 1] if place else None
        tails[place:] = [key, *tails[place + 1 :]]
        ends[place:] = [number, *ends[place + 1 :]]
    starts: list[int] = []
    number_or_none = ends[-1] if ends else None
    while number_or_none is not None:
        starts.append(number_or_none)
        number_or_none = before[number_or_none]
    starts.reverse()
    if len(starts) < _FEWEST_NAMES or starts[0] != 0 or len(words) > 3 * len(starts):
        return ()
    return [
        Span(words[first].start, words[following - 1].end)
        for first, following in zip(starts, [*starts[1:], len(words)], strict=True)
    ]


def _sort_key(name: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if c.isalnum())
