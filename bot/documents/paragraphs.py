"""The lines of columns -> paragraphs, items and rows, and which of them are headings.

Paragraphs are told by where lines end, headings by their type or by the bookmarks of the file.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bot.documents.layout import Column
from bot.documents.lines import (
    ends_sentence,
    is_bullet,
    is_dash,
    item_mark,
    letters,
    mended,
    section_number,
    vocabulary,
)
from bot.documents.pieces import Piece, runs, usual_pitch


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Words that belong together: a paragraph, a heading, an item or a row."""

    page: int  # where it begins
    text: str  # without the mark
    mark: str  # the bullet or number before an item, as it stands
    size: float  # of its type, in points
    bold: bool
    row: bool  # of a table, its cells parted by bars


@dataclass(frozen=True, slots=True)
class _Part:
    """The lines of a paragraph, or those of it that stand in one column."""

    page: int
    lines: Sequence[Piece]
    edge: float  # where the lines of its column end
    alone: bool  # too few lines around it to tell that edge
    mark: str

    @property
    def size(self) -> float:
        return self.lines[0].size

    @property
    def row(self) -> bool:
        return self.lines[0].cells > 1


def paragraphs(columns: Iterable[Column], body: float) -> list[Paragraph]:
    """Return the paragraphs, headings, items and rows of a document, in the order of reading.

    Words that are broken at the end of a line are whole again.

    :param body: The size of most of the type.
    """
    joined = _joined(_parts(columns, body), body)
    words = vocabulary([line.text for parts in joined for part in parts for line in part.lines])
    found = []
    for parts in joined:
        first, lines = parts[0], [line for part in parts for line in part.lines]
        text = mended((line.text for line in lines), words)[len(first.mark) :].strip()
        bold = all(line.bold for line in lines)
        found.append(Paragraph(first.page, text, first.mark, first.size, bold, first.row))
    return found


def heading_levels(paragraphs: Sequence[Paragraph], body: float, outline: Collection[tuple[int, str]]) -> list[int]:
    """Return the level of each paragraph that is a heading, by the rank of its type, from 1; 0 for any other.

    Short bold lines of the body's size, and what the bookmarks name, rank last.

    :param body: The size of most of the type.
    :param outline: The pages and bare letters of the bookmarks.
    """
    sizes: dict[int, float] = {}
    low: set[int] = set()
    weight = sum(len(part.text) for part in paragraphs)
    tell = 2 * sum(len(part.text) for part in paragraphs if part.bold) < weight
    for number, part in enumerate(paragraphs):
        bare = letters(part.text)
        if part.row or len(part.text) > 200 or not bare or is_bullet(part.mark):
            continue
        if part.size > 1.1 * body and len(bare) > 1:
            sizes[number] = round(part.size * 2) / 2
        elif (part.page, letters(part.mark) + bare) in outline or (
            tell
            and part.bold
            and part.size > 0.97 * body
            and len(part.text) <= 120
            and part.text[-1] not in ".,;"
            and number + 1 < len(paragraphs)
        ):
            low.add(number)
    ranks: dict[float, int] = {}
    nearest, rank = math.inf, 0
    for size in sorted(set(sizes.values()), reverse=True):
        if size <= 0.94 * nearest:
            rank = min(rank + 1, 3)
        ranks[size], nearest = rank, size
    return [ranks[sizes[n]] if n in sizes else rank + 1 if n in low else 0 for n in range(len(paragraphs))]


def _parts(columns: Iterable[Column], body: float) -> Iterator[_Part]:
    """Cut the lines of every column where a gap, another type, an indent or a short line says so."""
    columns = list(columns)
    pitches = (
        (a.base - b.base) / a.size for column in columns for a, b in pairwise(column.lines) if abs(a.size - body) < 0.5
    )
    pitch = 1.2 * usual_pitch(pitches, 2.6)
    for column in columns:
        edges: dict[float, float] = {}
        for chunk in runs(column.lines, lambda chunk, line: _close(chunk[-1], line, pitch, body)):
            size = chunk[0].size
            if size not in edges:
                edges[size] = max(line.right for line in column.lines if abs(line.size - size) < 0.5)
            for lines in _paragraphs(chunk, edges[size], body):
                mark = item_mark(lines[0].text) if lines[0].cells == 1 else ""
                yield _Part(column.page, lines, edges[size], len(column.lines) < 3, mark)


def _close(a: Piece, b: Piece, pitch: float, body: float) -> bool:
    """Whether two lines may be of one paragraph, by their type and the gap between them."""
    large = max(a.size, b.size) > 1.1 * body
    most = max(pitch, 1.5) if large else pitch
    alike = abs(a.size - b.size) < (0.06 if large else 0.11) * a.size
    return a.cells == b.cells == 1 and alike and 0 < a.base - b.base <= most * a.size


def _paragraphs(chunk: Sequence[Piece], edge: float, body: float) -> list[list[Piece]]:
    """Cut lines that stand close together, in a column that ends at ``edge``."""
    start, end = min(line.left for line in chunk), max(line.right for line in chunk)
    narrow = end < edge - 0.3 * (edge - start)
    indents = sum(line.left > start + 0.7 * line.size for line in chunk)
    outdented = 2 * indents > len(chunk) and not any(item_mark(line.text) for line in chunk)
    hanging = start if outdented else None
    dashes = sum(is_dash(item_mark(line.text)) for line in chunk)  # one alone may stand within a sentence

    def goes_on(run: list[Piece], line: Piece) -> bool:
        back = narrow and line.left < run[-1].left - 0.7 * line.size and line.size < 1.1 * body
        mark = item_mark(line.text)
        item = is_bullet(mark) and not (dashes == 1 and is_dash(mark))
        return not back and not item and _goes_on(run, line, end, hanging, body)

    return runs(chunk, goes_on)


def _goes_on(run: Sequence[Piece], line: Piece, edge: float, hanging: float | None, body: float) -> bool:
    """Whether a line belongs to the paragraph above it. ``hanging`` is where the first lines begin, if outdented."""
    last, size, mark = run[-1], line.size, item_mark(line.text)
    full = _is_full(last, line, edge)
    listed = item_mark(run[0].text)
    if mark and (listed or not full or ends_sentence(last.text)):
        return False
    if all(piece.bold for piece in run) != line.bold and (not line.bold or not full):
        return False
    if size > 1.1 * body:
        return last.right - last.left > 0.6 * (line.right - line.left) and section_number(line.text) is None
    if not full:
        return False
    if listed:
        return line.left > run[0].left - 0.5 * size
    if hanging is not None:
        return line.left > hanging + 0.7 * size
    return line.left < last.left + 0.7 * size


def _is_full(line: Piece, following: Piece, edge: float) -> bool:
    """Whether a line was broken for want of room: the next one's first word would not have fitted."""
    return line.text.endswith("-") or line.right + 0.25 * line.size + following.first_word > edge - 0.3 * line.size


def _joined(parts: Iterable[_Part], body: float) -> list[list[_Part]]:
    """Put together the parts of paragraphs that run over the end of a column or page.

    Notes at its foot may stand between them.
    """
    joined: list[list[_Part]] = []
    open_end: list[_Part] = []  # the paragraph in the body's type that came last
    for part in parts:
        plain = not part.row and abs(part.size - body) < 0.06 * body
        if plain and open_end and _runs_over(open_end, part):
            open_end.append(part)
            continue
        joined.append([part])
        if plain or part.size > body:
            open_end = joined[-1] if plain else []
    return joined


def _runs_over(paragraph: Sequence[_Part], part: _Part) -> bool:
    last, above, below = paragraph[-1], paragraph[-1].lines[-1], part.lines[0]
    return (
        not part.mark
        and above.bold == below.bold
        and (part.page > paragraph[0].page or below.base > above.base)
        and not ends_sentence(above.text)
        and _is_full(above, below, last.edge)
        and (below.text[:1].islower() or not (last.alone or part.alone))
    )
