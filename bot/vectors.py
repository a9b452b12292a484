"""The vectors of a snapshot: FAISS names the nearest passages, and what is stored says how near they are.

Up to ``EXACT`` passages FAISS compares the question with each of them. Beyond that it looks into the nearest of many
cells only (inverted file: Jégou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", 2011), each
vector in 4 bits a dimension, compared with tables that fit into registers (André, Kermarrec and Le Scouarnec, "Cache
Locality is Not Enough", 2015). It names more than are wanted, as its order is only nearly right; how many cells is
chosen when the index is built, by asking it sentences of the corpus, so that it finds what an exact search would, and
measured. Cosines always come from the stored rows: passages in 16 bits, sentences in 8 with a scale of their own (off
by less than 0.003).
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import faiss
import numpy as np
import numpy.typing as npt

from bot.store import Content, array, rows_of
from bot.types import Embeddings

Floats: TypeAlias = npt.NDArray[np.float32]
Rows: TypeAlias = npt.NDArray[np.int64]

_Number = TypeVar("_Number", bound=np.number[Any])

#: Passages up to which an exact search is fast: one core compares 30,000 vectors of 384 numbers in about 2 ms.
EXACT = 30_000

#: The exact index, as FAISS' ``index_factory`` calls it.
FLAT = "Flat"

#: What a search in cells must find of what an exact one finds, at ten results, and the sentences it is tried with. Of
#: all that is at hand they are most like questions, which find a little less: .988 where sentences find .996 (MTRAG's
#: cloud documents; passages' own vectors, moved at random, are easier there and harder where the noise is random too).
_RECALL, _RECALL_AT, _TRIED = 0.995, 10, 300
#: How many cells may be looked into; and at least one in so many: a question may stand between what sentences say.
_CELLS_LOOKED_INTO = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1_024)
_ONE_CELL_IN = 32

#: Share of the rows that may be others than those that cells and codes were learnt from.
_OTHERS = 0.1

#: Recall below which an index that nobody has named is not used, but an exact one, which is slower: where most passages
#: are alike, cells and short codes may not tell the others apart.
_TOO_LITTLE = 0.9

#: Cosines no further apart are as near as one another: the rows are stored in 16 bits.
_ALIKE = 1e-5

#: Passages that are compared with one another to tell how alike all are.
_COMPARED = 1_000

#: Vectors for each cell that the cells are learnt from.
_LEARNT_FROM = 40

#: Rows that are read at a time.
_BATCH = 50_000

#: Nearest passages that FAISS is asked for, for each that is wanted, and at least: its own order is only nearly right.
_SPARE, _LEAST = 3, 400

#: Passages up to which a search among some of them compares all of these.
_FEW = 20_000


@dataclass(frozen=True, slots=True)
class IndexChoice:
    """How the nearest passages are found: FAISS' name of the index, how many cells are looked into (0: all is), and the
    share of the ten nearest to each of ``tried`` sentences that was found (1 for an exact index)."""

    factory: str
    cells: int = 0
    recall: float = 1.0
    tried: int = 0

    def __str__(self) -> str:
        if self.factory == FLAT:
            return "exact search"
        return (
            f"{self.factory}, {self.cells} cells looked into, finds {self.recall:.3f} of the {_RECALL_AT} nearest "
            f"({self.tried} tried)"
        )


class Vectors:
    """One vector for each passage. Reads only; threads may share one.

    :param index: FAISS index over the same rows, inner product.
    :param rows: shape ``(passages, dim)``, as :func:`in_sixteen_bits` makes them.
    :param content: the file that holds the rows, if one does.
    """

    def __init__(
        self, index: faiss.Index, rows: npt.NDArray[np.int16], choice: IndexChoice, content: Content = b""
    ) -> None:
        self.index, self.stored, self.choice, self._content = index, rows, choice, content
        self.dim = rows.shape[1]

    def __len__(self) -> int:
        return len(self.stored)

    def of(self, rows: Rows | slice) -> Floats:
        """Return the vectors of some passages, one row for each."""
        return _from_sixteen_bits(
            self.stored[rows] if isinstance(rows, slice) else rows_of(self.stored, rows, self._content)
        )

    def cosines(self, vector: Floats, rows: Rows) -> Floats:
        """Return how near some passages are to a vector: shape ``(len(rows),)``, cosines, -1 to 1, in their order.

        :param vector: shape ``(dim,)``, of length 1.
        """
        cosines: Floats = (rows_of(self.stored, rows, self._content).astype(np.float32) @ vector) * _UNIT
        return cosines

    def nearest(self, vector: Floats, count: int, only: Rows | None = None) -> Rows:
        """Return the passages nearest to a vector, best first.

        :param only: the passages to look among; all when ``None``.
        """
        found = self.candidates(vector, count, only)
        return found[np.argsort(-self.cosines(vector, found), kind="stable")[:count]]

    def candidates(self, vector: Floats, count: int, only: Rows | None = None) -> Rows:
        """Return passages among which are the nearest to a vector, in no order: so many, or some more where their
        own vectors must tell which are the nearest.

        FAISS fills the places it has no result for with -1, which Python would read as the last passage
        (github.com/facebookresearch/faiss/issues/1731): those are dropped.

        :param only: the passages to look among; all when ``None``.
        """
        if only is not None and len(only) <= _FEW:
            return only
        return self._search(vector, count if self.choice.factory == FLAT else max(_SPARE * count, _LEAST), only)

    def _search(self, vector: Floats, count: int, only: Rows | None) -> Rows:
        how = None
        if only is not None or self.choice.cells:
            how = _parameters(self.choice.cells, only)
        faiss.omp_set_num_threads(1)  # of this thread: one question on several cores waits longer than it gains
        _, rows = self.index.search(vector[None], count, params=how)
        found: Rows = rows[0][rows[0] >= 0]
        return found


def likeness(vectors: Vectors) -> float:
    """Return how alike the passages are, 0 to 1: the root of the mean cosine between two of them, of some drawn evenly.

    About 0.1 where they are about all sorts of things, 0.35 in the documentation of one product, 0.7 in a few pages
    about one thing. 1 where there are not two.
    """
    count = len(vectors)
    if count < 2:
        return 1.0
    drawn = vectors.of(np.unique(np.linspace(0, count - 1, min(count, _COMPARED)).astype(np.int64)))
    all_pairs = float(np.square(drawn.sum(axis=0)).sum())
    of_two = (all_pairs - len(drawn)) / (len(drawn) * (len(drawn) - 1))
    return math.sqrt(min(max(of_two, 0.0), 1.0))


def _parameters(cells: int, only: Rows | None) -> faiss.SearchParameters:
    """Fewer passages stand in more cells."""
    kind = faiss.SearchParametersIVF if cells else faiss.SearchParameters
    options: dict[str, object] = {"nprobe": 4 * cells if only is not None else cells} if cells else {}
    if only is not None:
        options["sel"] = faiss.IDSelectorBatch(only)
    return kind(**options)


@dataclass(frozen=True, slots=True)
class Before:
    """Vectors that were built before, and the row that each of theirs has now, -1 if it is gone."""

    vectors: Vectors
    now: Rows


def build_index(
    rows: npt.NDArray[np.int16],
    sentences: npt.NDArray[np.int8],
    factory: str | None = None,
    before: Before | None = None,
) -> tuple[faiss.Index, IndexChoice]:
    """Build the FAISS index over some rows.

    :param rows: shape ``(passages, dim)``; each of length 1.
    :param sentences: their sentences, as :func:`in_eight_bits` makes them; what is not exact is tried with some.
    :param factory: what FAISS' ``index_factory`` should make; ``None`` chooses by size.
    :param before: most of the same rows; where they had the same kind of index, what it has learnt is learnt from them
        and need not be again, as long as it finds as much as before.
    :raises ValueError: if FAISS knows no such index, or cannot build it from so few rows.
    """
    count, dim = rows.shape
    trusted = factory is None
    factory = factory or chosen_factory(count, dim)
    fault = f"FAISS cannot build an index {factory!r} of {count:,} passages"
    if not trusted and factory != FLAT and not _harmless(factory, dim):
        raise ValueError(fault)
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    whole, scales = _from_eight_bits(_sample(sentences, _TRIED))
    asked = whole * scales[:, None]
    try:
        if trusted and before is not None and (old := _brought_up_to_date(before, rows, factory)) is not None:
            then = before.vectors.choice
            choice = _tried(old, rows, asked, factory, then.cells)
            if choice.recall >= min(then.recall, _RECALL):
                return old, choice
        index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
        if not index.is_trained:
            index.train(_from_sixteen_bits(_sample(rows, _LEARNT_FROM * _cells(count))))
        for start in range(0, count, _BATCH):
            index.add(_from_sixteen_bits(rows[start : start + _BATCH]))
        if factory == FLAT:
            return index, IndexChoice(FLAT)
        choice = _tried(index, rows, asked, factory)
        return build_index(rows, sentences, FLAT) if trusted and choice.recall < _TOO_LITTLE else (index, choice)
    except (RuntimeError, MemoryError) as error:
        raise ValueError(fault) from error


def _brought_up_to_date(before: Before, rows: npt.NDArray[np.int16], factory: str) -> faiss.Index | None:
    """A copy of an index in cells, as ``chosen_factory`` names it, without the rows that are gone, with those that are
    new, and all with the numbers that they have now; ``None`` if it was another, or too many rows are others."""
    gone = np.flatnonzero(before.now < 0)
    new = np.setdiff1d(np.arange(len(rows)), before.now)
    if factory == FLAT or before.vectors.choice.factory != factory or len(gone) + len(new) > _OTHERS * len(rows):
        return None
    # not its clone, which may look into the same, mapped memory
    index: Any = faiss.deserialize_index(faiss.serialize_index(before.vectors.index))
    if not isinstance(index, faiss.IndexIVFPQFastScan):  # whatever its manifest says
        return None
    index.remove_ids(faiss.IDSelectorBatch(gone))
    cells: Any = index.invlists
    for number in range(index.nlist):
        if size := cells.list_size(number):
            numbers = faiss.rev_swig_ptr(cells.get_ids(number), size)
            if not 0 <= numbers.min() <= numbers.max() < len(before.now):  # nobody has checked them before
                return None
            numbers[:] = before.now[numbers]
    index.add_with_ids(_from_sixteen_bits(rows[new]), new)
    found: faiss.Index = index
    return found if index.ntotal == len(rows) else None


#: Builds an index of a few rows and asks it; what FAISS refuses, it may.
_TRIAL = """
import sys, faiss, numpy
rows = numpy.random.default_rng(0).standard_normal((300, int(sys.argv[1])), dtype="float32")
index = faiss.index_factory(rows.shape[1], sys.argv[2], faiss.METRIC_INNER_PRODUCT)
index.train(rows)
index.add(rows)
index.search(rows[:1], 10)
"""


@lru_cache
def _harmless(factory: str, dim: int) -> bool:
    """Whether FAISS builds what a name says, or refuses it with an error: some, such as ``HNSW0``, end the process, or
    keep it busy for ever."""
    try:
        command = [sys.executable, "-P", "-c", _TRIAL, str(dim), factory]
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode >= 0
    except subprocess.TimeoutExpired:
        return False


def chosen_factory(count: int, dim: int) -> str:
    """Return FAISS' name of the index that suits a number of passages."""
    return FLAT if count <= EXACT else f"IVF{_cells(count)},PQ{dim}x4fs"


def _cells(count: int) -> int:
    """The power of two next to four times the root: as many cells as a cell has passages, about."""
    return 1 << round(math.log2(max(4 * math.sqrt(count), 1)))


def _sample(rows: npt.NDArray[_Number], count: int) -> npt.NDArray[_Number]:
    """Rows drawn evenly from all over."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))]


def _tried(
    index: faiss.Index, rows: npt.NDArray[np.int16], asked: Floats, factory: str, least_cells: int = 0
) -> IndexChoice:
    """Choose how many cells to look into, by what is found of the rows nearest to some vectors: the fewest that find
    enough, else the fewest of those that find most. More cells may find less, where short codes tell little apart.

    :param least_cells: no fewer are tried.
    """
    least, wanted = _least(rows, asked), min(_RECALL_AT, len(rows))
    choices: list[IndexChoice] = []
    there_are = getattr(faiss.downcast_index(index), "nlist", 0)
    fewest = max(min(there_are / _ONE_CELL_IN, _CELLS_LOOKED_INTO[-1]), least_cells)
    for cells in [cells for cells in _CELLS_LOOKED_INTO if cells >= fewest] if there_are else [0]:
        vectors = Vectors(index, rows, IndexChoice(factory, cells))
        found = [
            np.count_nonzero(vectors.cosines(one, vectors.nearest(one, wanted)) >= last - _ALIKE)
            for one, last in zip(asked, least, strict=True)
        ]
        choices.append(IndexChoice(factory, cells, sum(found) / max(wanted * len(asked), 1), len(asked)))
        if choices[-1].recall >= _RECALL:
            break
    return max(choices, key=lambda choice: choice.recall)


def _least(rows: npt.NDArray[np.int16], asked: Floats) -> Floats:
    """The cosine of each vector with the last of its nearest rows, by comparing with all; of rows that are alike any
    will do, so it is by its cosine that what is found counts (as in Aumüller, Bernhardsson and Faithfull,
    "ANN-Benchmarks", 2020)."""
    best = np.zeros((len(asked), 0), dtype=np.float32)
    wanted = min(_RECALL_AT, len(rows))
    for start in range(0, len(rows), _BATCH):
        cosines = np.hstack([best, asked @ _from_sixteen_bits(rows[start : start + _BATCH]).T])
        best = np.partition(cosines, -wanted, axis=1)[:, -wanted:]
    least: Floats = best.min(axis=1)
    return least


def open_vectors(index: faiss.Index, rows: Content, choice: IndexChoice) -> Vectors:
    """Open what was stored; see :class:`Vectors`.

    :raises ValueError: if the two do not fit each other.
    """
    stored = array(rows, np.int16)
    if (
        stored.ndim != 2
        or (index.ntotal, index.d) != stored.shape
        or index.metric_type != faiss.METRIC_INNER_PRODUCT
        or isinstance(index, faiss.IndexFlat) != (choice.factory == FLAT)
        or hasattr(index, "nprobe") != (choice.cells > 0)
        or not 0 <= choice.cells <= _CELLS_LOOKED_INTO[-1]
    ):
        raise ValueError("the vectors do not fit each other")
    return Vectors(index, stored, choice, rows)


#: What 1 of a stored passage stands for: whole numbers are read several times faster than float16, and as exact here.
_UNIT = np.float32(1 / 32_767)


def in_sixteen_bits(vectors: Embeddings) -> npt.NDArray[np.int16]:
    """Return vectors as :class:`Vectors` stores them, in the same shape: whole numbers up to 32,767, which stands for
    1. What rounding has put beyond 1 is 1."""
    whole: npt.NDArray[np.int16] = np.rint(np.clip(vectors, -1, 1) / _UNIT).astype(np.int16)
    return whole


def _from_sixteen_bits(stored: npt.NDArray[np.int16]) -> Floats:
    vectors: Floats = stored.astype(np.float32)
    vectors *= _UNIT
    return vectors


class SmallVectors:
    """One vector for each sentence, or for each passage's topic, in 8 bits a dimension. Threads may share one."""

    def __init__(self, rows: Content) -> None:
        self.stored, self._content = array(rows, np.int8), rows
        if self.stored.ndim != 2 or self.stored.shape[1] <= SCALE_BYTES:
            raise ValueError("the vectors in 8 bits have another form")

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.stored), self.stored.shape[1] - SCALE_BYTES

    def of(self, rows: Rows | slice) -> Floats:
        """Return some of the vectors, one row for each, of length about 1."""
        vectors, scales = self.unscaled(rows)
        vectors *= scales[:, None]  # in place: a copy of so many takes longer than the product
        return vectors

    def unscaled(self, rows: Rows | slice) -> tuple[Floats, Floats]:
        """Return some of the vectors as whole numbers up to 127, shape ``(len(rows), dim)``, and what 1 stands for in
        each, shape ``(len(rows),)``: their product is what :meth:`of` returns."""
        return _from_eight_bits(
            self.stored[rows] if isinstance(rows, slice) else rows_of(self.stored, rows, self._content)
        )


#: Bytes at the end of each stored row of 8 bits that hold its scale.
SCALE_BYTES = 4


def in_eight_bits(vectors: Embeddings) -> npt.NDArray[np.int8]:
    """Return vectors as :class:`SmallVectors` stores them: whole numbers up to 127, then their scale."""
    scales = np.maximum(np.abs(vectors).max(axis=1, keepdims=True, initial=1e-12), 1e-12).astype("<f4") / np.float32(
        127
    )
    whole = np.rint(vectors / scales).astype(np.int8)
    return np.hstack([whole, scales.view(np.int8)])


def _from_eight_bits(stored: npt.NDArray[np.int8]) -> tuple[Floats, Floats]:
    scales = np.ascontiguousarray(stored[:, -SCALE_BYTES:]).view("<f4")[:, 0]
    return stored[:, :-SCALE_BYTES].astype(np.float32), scales
