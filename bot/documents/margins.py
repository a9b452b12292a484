"""What comes back at the edges of page after page: running headers, footers and page numbers."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from bot.documents.lines import letters
from bot.documents.pieces import Layer, Page, Piece, abreast, usual_pitch


@dataclass(frozen=True, slots=True)
class _EdgeLine:
    """A line that may be a header or a footer."""

    page: int
    top: bool  # of the page, not its bottom
    pieces: Sequence[Piece]
    text: str  # in lower case
    bare: str  # the same without numbers, Roman ones included
    numbers: Collection[int]

    @property
    def size(self) -> int:
        return round(self.pieces[0].size)

    @property
    def only_number(self) -> bool:
        return not letters(self.bare)


def without_margins(pages: Sequence[Page], body: float) -> Sequence[Page]:
    """Leave out running headers, footers and page numbers: what stands apart at an edge, and comes back there.

    What comes back are the same words, or a number that grows with the pages at one height, with nothing else beside
    it but words that come back too. A large line is kept once, for it may be a title. Where half of the pages would
    be bare, nothing is left out.

    :param body: The size of most of the type.
    """
    lines = list(_edge_lines(pages, body))
    dropped = {
        piece
        for line in [*_same_words(lines, len(pages), body), *_numbered(lines, len(pages), body)]
        for piece in line.pieces
    }
    left = [
        replace(page, layers=tuple(replace(layer, pieces=_without(layer, dropped)) for layer in page.layers))
        for page in pages
    ]
    written = sum(bool(page.layers) for page in pages)
    return left if 2 * sum(any(layer.pieces for layer in page.layers) for page in left) > written else pages


def _without(layer: Layer, dropped: Collection[Piece]) -> tuple[Piece, ...]:
    return tuple(piece for piece in layer.pieces if piece not in dropped)


def _edge_lines(pages: Sequence[Page], body: float) -> Iterator[_EdgeLine]:
    pitches = (
        (b.base - a.base) / a.size
        for page in pages
        for layer in page.layers
        for a, b in pairwise(sorted(layer.pieces, key=lambda piece: piece.base))
        if abs(a.size - body) < 0.5
    )
    apart = max(1.7, 1.3 * usual_pitch(pitches, 6))
    for page in pages:
        for layer in page.layers:
            for top in (True, False):
                for pieces in _edge(layer, top, apart):
                    text = " ".join(piece.text for piece in sorted(pieces, key=lambda piece: piece.left)).casefold()
                    bare = re.sub(r"\b[ivxlc]{1,7}\b|[0-9]+", "", text)
                    numbers = {int(number[:9]) for number in re.findall(r"[0-9]+", text)}
                    yield _EdgeLine(page.number, top, pieces, text, bare, numbers)


def _edge(layer: Layer, top: bool, apart: float) -> list[list[Piece]]:
    """The lines at the top or bottom of a page, one or two at a time, that are wider ``apart`` than lines usually are.

    That width counts the size of their type.
    """
    inwards = sorted(layer.pieces, key=lambda piece: -piece.base if top else piece.base)
    found: list[list[Piece]] = []
    group: list[list[Piece]] = []
    for line in abreast(inwards):
        base, size = line[0].base, line[0].size
        if group and abs(base - group[-1][0].base) > apart * min(size, group[-1][0].size):
            found += group
            group = []
        depth = layer.top - base if top else base - layer.bottom
        if len(group) > 1 or len(found) > 3 or depth > 0.15 * (layer.top - layer.bottom):
            return found
        group.append(line)
    return found + group


def _same_words(lines: Sequence[_EdgeLine], count: int, body: float) -> Iterator[_EdgeLine]:
    """Lines that say the same on enough of ``count`` pages."""
    places: dict[tuple[bool, int, str], list[_EdgeLine]] = defaultdict(list)
    for line in lines:
        places[line.top, line.size, line.bare if line.only_number else line.text].append(line)
    for (_, size, _), same in places.items():
        large = size > 1.15 * body
        if _comes_back(same, count, 0.6 if large else 0):
            yield from same[large:]


def _numbered(lines: Sequence[_EdgeLine], count: int, body: float) -> Iterator[_EdgeLine]:
    """Lines at one height with a number that grows with the pages."""
    places: dict[tuple[bool, int, int], list[_EdgeLine]] = defaultdict(list)
    for line in lines:
        if line.size <= 1.15 * body:
            places[line.top, line.size, round(line.pieces[0].base / 3)].append(line)
    for level in places.values():
        ahead = Counter(number - line.page for line in level for number in line.numbers).most_common(1)
        bare = Counter(line.bare for line in level)
        grows = [line for line in level if ahead and line.page + ahead[0][0] in line.numbers]
        if _comes_back(grows, count, 0):
            known = [line for line in grows if line.only_number or bare[line.bare] > 1]
            yield from grows if 2 * len(known) > len(grows) else known  # a chapter may have a single page


def _comes_back(lines: Sequence[_EdgeLine], count: int, share: float) -> bool:
    """Whether lines stand on enough of the pages: four, or all of fewer, and not here and there over many."""
    pages = {line.page for line in lines}
    enough = max(2, min(4, count), share * count)
    return len(pages) >= enough and len(pages) >= 0.4 * (max(pages) - min(pages) + 1)
