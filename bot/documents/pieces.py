"""What stands on the pages of a PDF: words with their places and their type.

Page -> Layer (all that is turned the same way) -> Piece
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Words that stand in a row without a wide gap; later a whole line, or a row of a table.

    Lengths are in points, on a page turned so that its words are upright: ``base`` grows upwards.
    """

    text: str
    left: float
    right: float
    base: float
    size: float  # of the type; never 0
    bold: bool
    first_word: float  # its width
    order: int  # in the file
    cells: int = 1  # of a row of a table

    def beside(self, other: Piece) -> bool:
        """Whether both stand on one line."""
        return abs(self.base - other.base) < 0.5 * min(self.size, other.size)

    def above(self, other: Piece) -> bool:
        """Whether one is over the other, at whatever distance."""
        return min(self.right, other.right) > max(self.left, other.left)


@dataclass(frozen=True, slots=True)
class Layer:
    """The pieces of a page that are turned the same way, in the order of the file, and where the page ends."""

    pieces: tuple[Piece, ...]
    bottom: float
    top: float


@dataclass(frozen=True, slots=True)
class Page:
    """What stands on a page, one layer for each quarter of a circle by which words are turned."""

    number: int  # from 1
    layers: tuple[Layer, ...]


def body_size(pages: Iterable[Page]) -> float:
    """Return the size of type that most letters have, to half a point."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for layer in page.layers:
            for piece in layer.pieces:
                sizes[round(piece.size * 2) / 2] += len(piece.text)
    return sizes.most_common(1)[0][0] if sizes else 1.0


def usual_pitch(pitches: Iterable[float], most: float) -> float:
    """Return how far lines of a paragraph stand apart; all lengths count the size of the type.

    Lines on one height and gaps of ``most`` and more are left out; of the rest, most are within paragraphs.
    """
    known = sorted(pitch for pitch in pitches if 0.9 < pitch < most)
    return known[len(known) * 3 // 10] if known else 1.3


def runs(items: Iterable[_T], goes_on: Callable[[list[_T], _T], bool]) -> list[list[_T]]:
    """Cut a sequence into runs; ``goes_on`` tells whether an item belongs to the run before it, which is not empty."""
    found: list[list[_T]] = []
    for item in items:
        if found and goes_on(found[-1], item):
            found[-1].append(item)
        else:
            found.append([item])
    return found


def abreast(falling: Iterable[Piece]) -> list[list[Piece]]:
    """Put together what stands on one line; the pieces come from top to bottom, or from bottom to top."""
    return runs(falling, lambda level, piece: piece.beside(level[0]))
