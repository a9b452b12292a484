"""Where pieces stand -> the columns of each page in the order of reading, and their lines and rows.

Columns are told by the gutter between them, lines by their baselines, rows by what stands side by side.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from bot.documents.lines import item_mark, mended, section_number
from bot.documents.pieces import Page, Piece, abreast, runs

#: A page with more is taken as it comes: the search for columns compares them all.
_MAX_PIECES = 5_000

#: Fewest pieces of a column by which a gutter is found; where there is one, a column may have fewer.
_FEWEST = 4

_DOTS = r"\s*(?:[.…·]\s?){4,}"
_LEADERS = re.compile(_DOTS + r"\s*(?=\S{1,6}$)")  # the dots of a table of contents


@dataclass(frozen=True, slots=True)
class Column:
    """The lines and rows of a stretch of a page that is read from top to bottom; a row has several ``cells``."""

    page: int  # from 1
    lines: Sequence[Piece]  # one at least


def columns(pages: Iterable[Page], body: float) -> Iterator[Column]:
    """Yield what a person reads in one go: columns and what runs across them, in the order of reading.

    What is turned another way comes after the rest of its page.

    :param body: The size of most of the type.
    """
    gutters: set[float] = set()
    found = [
        (page.number, region)
        for page in pages
        for layer in sorted(page.layers, key=lambda layer: len(layer.pieces), reverse=True)
        for region in _regions(list(layer.pieces), gutters)
    ]
    from_right = sorted(gutters, reverse=True)
    for number, region in found:
        for column in _begun(region, from_right):
            yield Column(number, _lines(column, body))


# ----------------------------------------------------------------------------------------------------------- columns


def _regions(pieces: list[Piece], gutters: set[float], depth: int = 0) -> list[list[Piece]]:
    """Cut a page into the stretches that are read one after the other: columns, and what runs across them.

    :param gutters: where columns begin that have another to their left; those of this page are added.
    """
    x = _gutter(pieces) if depth < 4 and 6 <= len(pieces) <= _MAX_PIECES else None
    if x is None:
        return [pieces] if pieces else []
    regions: list[list[Piece]] = [[]]
    for left, right, crossing in _bands(pieces, x):
        while left and right and left[0].base > right[0].base + left[0].size and _goes_under(regions[-1], left[0]):
            regions[-1].append(left.pop(0))  # the end of a paragraph above the columns
        if _overlap(left, right):
            gutters.add(x)
            regions += [*_regions(left, gutters, depth + 1), *_regions(right, gutters, depth + 1), crossing]
        else:
            regions[-1] += left + right + crossing
    return [region for region in regions if region]


def _begun(region: list[Piece], gutters: Iterable[float]) -> list[list[Piece]]:
    """Take columns apart of which the last has only begun, where some page has a gutter.

    It begins beside the first line of the one before and is no longer, and the file writes it after that one: the
    number of a heading, or the first cell of a row, stands before what is longer, or alone.

    :param gutters: from right to left.
    """
    if len(region) > _MAX_PIECES:
        return [region]
    columns: list[list[Piece]] = []
    rest = _falling(region)
    for x in gutters:
        left, right = _halves(rest, x)
        if (
            1 < len(left) >= len(right) > 0
            and len(left) + len(right) == len(rest)
            and abs(min(piece.left for piece in right) - x) < 4
            and right[0].beside(left[0])
            and max(piece.order for piece in left) < min(piece.order for piece in right)
        ):
            columns.insert(0, right)
            rest = left
    return [rest, *columns]


def _goes_under(region: Sequence[Piece], piece: Piece) -> bool:
    return bool(region) and 0 < region[-1].base - piece.base < 1.7 * piece.size


def _gutter(pieces: Sequence[Piece]) -> float | None:
    """Find where the right one of two columns begins, if there are columns.

    Columns are written one after the other in the file, a table row by row. Where neighbours take turns line by line
    all the same, as under a scan, they are columns if both are full of long lines.
    """
    starts: Counter[int] = Counter()
    for piece in pieces:
        starts[round(piece.left / 4)] += len(piece.text)
    written = sorted(pieces, key=lambda piece: piece.order)
    best, chosen = 0, None
    for start, _ in starts.most_common(8):
        x = 4.0 * start
        left, right = _halves(written, x)
        fewer, weight = min(len(left), len(right)), min(_weight(left), _weight(right)) - _cut(written, x)
        if fewer < _FEWEST or _weight(left) + _weight(right) < 0.4 * _weight(pieces) or not _overlap(left, right):
            continue
        sides = [_side(piece, x) for piece in written]
        turns = sum(a != b for a, b in pairwise(filter(None, sides)))
        bands = 1 + sum(b == 0 != a for a, b in pairwise(sides))
        length = min(median(len(piece.text) for piece in half) for half in (left, right))
        apart = turns <= max(2 * bands, fewer / 4) and length >= 8
        woven = fewer >= 10 and turns >= 1.5 * fewer and length >= 25 and _full(left) and _full(right)
        if (apart or woven) and weight > best:
            best, chosen = weight, x
    return chosen


def _bands(pieces: Iterable[Piece], x: float) -> Iterator[tuple[list[Piece], list[Piece], list[Piece]]]:
    """Cut columns across: below each piece that runs across them, and where the file goes back to the left one.

    Yields what is left and right of the gutter, from top to bottom, and the piece below them.
    """
    falling = _falling(pieces)
    across = [-piece.base for piece in falling if not _side(piece, x)]
    bands: dict[int, list[Piece]] = defaultdict(list)
    for piece in falling:
        bands[bisect_left(across, -piece.base)].append(piece)
    for _, band in sorted(bands.items()):
        crossing = [piece for piece in band if not _side(piece, x)]
        beside = sorted((piece for piece in band if _side(piece, x)), key=lambda piece: piece.order)
        cuts = [0]
        lowest = math.inf
        for number, (before, piece) in enumerate(pairwise(beside), 1):
            lowest = min(lowest, before.base)
            if _side(before, x) > _side(piece, x) and piece.base < lowest - 0.5 * piece.size:
                cuts.append(number)
        if 8 * len(cuts) > len(beside):  # the file takes turns line by line
            cuts = [0]
        for start, end in pairwise([*cuts, len(beside)]):
            left, right = _halves(_falling(beside[start:end]), x)
            yield left, right, crossing if end == len(beside) else []


def _falling(pieces: Iterable[Piece]) -> list[Piece]:
    return sorted(pieces, key=lambda piece: (-piece.base, piece.left))


def _side(piece: Piece, x: float) -> int:
    """-1 for a piece to the left of a gutter that ends at ``x``, 1 to the right, 0 across it."""
    return 1 if piece.left > x - 4 else -1 if piece.right < x + 2 else 0


def _halves(pieces: Sequence[Piece], x: float) -> tuple[list[Piece], list[Piece]]:
    """What is left and what is right of a gutter."""
    return [piece for piece in pieces if _side(piece, x) < 0], [piece for piece in pieces if _side(piece, x) > 0]


def _weight(pieces: Iterable[Piece]) -> int:
    return sum(len(piece.text) for piece in pieces)


def _cut(pieces: Sequence[Piece], x: float) -> int:
    """The weight of what runs across a gutter although something stands beside it: it would cut a column in two.

    The cells of a table above the columns do too; they follow their neighbours in the file, and do not count.

    :param pieces: in the order of the file.
    """
    bases = sorted(piece.base for piece in pieces if _side(piece, x))
    cells = {piece for pair in pairwise(pieces) if pair[0].beside(pair[1]) for piece in pair}

    def is_beside(piece: Piece) -> bool:
        number = bisect_left(bases, piece.base - 0.9 * piece.size)
        return number < len(bases) and bases[number] < piece.base + 0.9 * piece.size

    return _weight(piece for piece in pieces if not _side(piece, x) and piece not in cells and is_beside(piece))


def _overlap(left: Sequence[Piece], right: Sequence[Piece]) -> bool:
    """Whether two sets of pieces stand side by side for most of the shorter one's height, two lines at least."""
    if min(len(left), len(right)) < 2:
        return False
    spans = [(min(piece.base for piece in side), max(piece.base for piece in side)) for side in (left, right)]
    shared = min(top for _, top in spans) - max(end for end, _ in spans)
    return shared > 0.5 * min(top - end for end, top in spans)


def _full(column: Sequence[Piece]) -> bool:
    """Whether most lines fill a column, as those of a paragraph do and those of a table do not."""
    edge, start = max(piece.right for piece in column), min(piece.left for piece in column)
    return sum(piece.right > edge - 0.15 * (edge - start) for piece in column) > 0.6 * len(column)


# ---------------------------------------------------------------------------------------------------- lines and rows


def _lines(region: Sequence[Piece], body: float) -> list[Piece]:
    """Put a region's pieces in the order of reading; those side by side become the cells of a row."""
    if len(region) > _MAX_PIECES:
        return _falling(region)
    lines: list[Piece] = []
    strip: list[list[Piece]] = []
    bottom = math.inf
    for stack in _stacks(_unjustified(region)):
        if strip and stack[0].base + 0.4 * stack[0].size <= bottom:
            lines += _strip(strip, body)
            strip, bottom = [], math.inf
        strip.append(stack)
        bottom = min(bottom, stack[-1].base)
    return lines + _strip(strip, body)


def _unjustified(region: Iterable[Piece]) -> list[Piece]:
    """Close the wide gaps in a line that was stretched to the width of the line above or below it."""
    found = abreast(_falling(region))
    lines: list[Piece] = []
    for number, level in enumerate(found):
        around = [other[0] for other in found[max(0, number - 1) : number + 2] if len(other) == 1]
        gaps = [b.left - a.right for a, b in pairwise(level)]
        stretched = (
            len(level) > 2
            and max(gaps) < 1.5 * min(gaps)
            and any(
                abs(line.right - level[-1].right) < 2
                and abs(line.left - level[0].left) < 2 * line.size
                and abs(line.base - level[0].base) < 2 * line.size
                for line in around
            )
        )
        lines += [_line(level)] if stretched else level
    return lines


def _stacks(pieces: Iterable[Piece]) -> list[list[Piece]]:
    """The cells that pieces may be, from top to bottom.

    A cell may have several lines: pieces that follow each other in the file, one below the other.
    """
    falling = _falling(pieces)
    near: dict[Piece, list[Piece]] = defaultdict(list)
    for number, piece in enumerate(falling):
        for other in falling[number + 1 : number + 40]:
            if not piece.beside(other):
                break
            near[piece].append(other)
            near[other].append(piece)

    def goes_on(stack: list[Piece], piece: Piece) -> bool:
        last = stack[-1]
        return (
            0 < last.base - piece.base <= 1.7 * min(last.size, piece.size)
            and last.above(piece)
            and not any(map(piece.above, near[last]))
            and not any(map(last.above, near[piece]))
        )

    stacks = runs(sorted(falling, key=lambda piece: piece.order), goes_on)
    return sorted(stacks, key=lambda stack: (-stack[0].base, stack[0].left))


def _strip(stacks: list[list[Piece]], body: float) -> list[Piece]:
    """The lines of stacks that stand side by side: one row, or several, or one stack after the other."""
    if len(stacks) == 1:
        return [_entry(piece) for piece in stacks[0]]
    stacks = sorted(stacks, key=lambda stack: min(piece.left for piece in stack))
    counts = [len(stack) for stack in stacks]
    if len(stacks) == 2 and counts[0] == 1:
        mark, (first, *rest) = stacks[0][0], stacks[1]
        heading = (mark.bold or mark.size > 1.1 * body) and section_number(mark.text) == mark.text
        if heading or item_mark(mark.text + " x"):
            return [_line([mark, first]), *rest]
    apart = all(max(p.right for p in a) <= min(p.left for p in b) + 1 for a, b in pairwise(stacks))
    aligned = len(set(counts)) == 1 and all(p.beside(ps[0]) for ps in zip(*stacks, strict=True) for p in ps)
    if apart and max(counts) <= 12 and not (aligned and counts[0] > 3):
        return [_row(stacks)]
    if not aligned and median(counts) > 1:
        return [piece for stack in sorted(stacks, key=lambda stack: -stack[0].base) for piece in stack]
    falling = sorted((piece for stack in stacks for piece in stack), key=lambda piece: -piece.base)
    return [_row([[piece] for piece in sorted(level, key=lambda piece: piece.left)]) for level in abreast(falling)]


def _entry(line: Piece) -> Piece:
    """A line as it is, or as a row if it has the dots of a table of contents."""
    if len(line.text) < 500 and _LEADERS.search(line.text):
        return replace(line, text=_LEADERS.sub(" | ", line.text), cells=2)
    return line


def _line(pieces: Sequence[Piece]) -> Piece:
    """One line of pieces with wide gaps between them."""
    return replace(_row([[piece] for piece in pieces], " "), cells=1)


def _row(stacks: Sequence[Sequence[Piece]], between: str = " | ") -> Piece:
    pieces = [piece for stack in stacks for piece in stack]
    cells = (re.sub(_DOTS, "", mended((piece.text for piece in stack), frozenset())) for stack in stacks)
    return replace(
        pieces[0],
        text=between.join(filter(None, cells)),
        right=max(piece.right for piece in pieces),
        size=max(pieces, key=lambda piece: len(piece.text)).size,
        bold=all(piece.bold for piece in pieces),
        cells=len(stacks),
    )
