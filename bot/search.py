"""From a question to the passages that match it, best first.

Dense and lexical search each name candidates; every candidate then gets the same absolute scores, its own and those of
the passages around it, and their weighted sum makes the order. Ranks are not fused: rank fusion throws away how well
something matched, which is what tells an answer from a near miss. A convex combination of scores, each scaled by its
own theoretical bounds, after Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (2023).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bot.lexical import words_of
from bot.marking import TELLING_KINDS, mark
from bot.query import Query
from bot.snapshot import Snapshot
from bot.types import Encoder, Filters, Hit, Passage, Scores

#: Weights of the scores; they add up to 1. A sentence that answers stands out of a long passage; a passage that answers
#: stands among others about the same. ``tests/evaluation/ablation.py`` prints what each part is worth.
PASSAGE_WEIGHT = 0.225
SENTENCE_WEIGHT = 0.12
LEXICAL_WEIGHT = 0.41
AROUND_PASSAGE_WEIGHT = 0.08
AROUND_LEXICAL_WEIGHT = 0.165

#: How many passages of the same document, before and after one, are around it; and how far off another may be, if what
#: is around that is better: passages side by side are about the same, and their own scores tell which of them answers.
_AROUND = 2

_WEIGHTS = np.array(
    [PASSAGE_WEIGHT, SENTENCE_WEIGHT, LEXICAL_WEIGHT, AROUND_PASSAGE_WEIGHT, AROUND_LEXICAL_WEIGHT], dtype=np.float32
)

#: What a passage gains whose marked sentence holds the kind of thing that is asked for, where that is plain to tell;
#: and how many of the best passages are read for it.
KIND_WEIGHT = 0.015
_REREAD = 10

#: What the stretch of a list gains that answers whether a name stands in it: enough to come first.
LOOKUP_WEIGHT = 1.0

#: Two passages say the same if they share this much of their runs of three words (Broder, "On the Resemblance and
#: Containment of Documents", 1997).
_SAME, _RUN = 0.8, 3

#: Cosine of their sentences' means below which the words of two passages are not compared.
_PERHAPS_SAME = 0.85

#: One document takes at most two of the first five places while three others answer too: each with a passage, among the
#: best ten, whose score is this near to the best.
_PLACES, _DOCUMENT_PLACES, _OTHERS, _NEAR_BEST = 5, 2, 3, 0.7

#: Candidates that each of the two searches names, and passages whose lexical score is known.
_POOL, _SCORED = 100, 250

#: Candidates of which sentences and surroundings are read.
_READ = 60

#: Passages from which the lexical search takes as long as encoding the question, so that both go on at a time: of a
#: million, whoever asks alone waits a third less; where all cores are busy, a tenth fewer are answered. Of fewer, the
#: hand-over to another thread and back costs what is gained.
_LONG_SEARCH = 100_000

Floats: TypeAlias = npt.NDArray[np.float32]
Rows: TypeAlias = npt.NDArray[np.int64]


def search(
    query: Query,
    snapshot: Snapshot,
    encoder: Encoder,
    *,
    top_k: int = 5,
    filters: Filters | None = None,
) -> tuple[Hit, ...]:
    """Return the passages that match a query best, best first; equal scores in corpus order.

    Best, not necessarily good: ``bot.answer`` decides what is good enough to show. Reads the snapshot and changes
    nothing, so threads may share one.

    :param top_k: most hits to return, 1 or more; fewer passages give fewer hits.
    :param filters: which documents may be quoted; all when ``None``.
    """
    documents = None
    if filters is not None and filters.limits:
        documents = [record.id for record in snapshot.documents.records if filters.admit(record)]
    only = None if documents is None else snapshot.rows_of(documents)
    pool = max(_POOL, top_k)
    looked_up = _looked_up_row(snapshot, query, documents)
    lexical_search = partial(snapshot.lexical.search, query.terms, max(_SCORED, top_k), documents, query.lent)
    # a thread of its own for each: those of a shared pool are gone after a fork, and the pool would not know
    with ThreadPoolExecutor(1) if len(snapshot.passages) >= _LONG_SEARCH else nullcontext() as beside:
        matching = beside.submit(lexical_search) if beside else None
        vector = _vector_of(query, encoder)
        near = snapshot.vectors.candidates(vector, pool, only)
        matched, shares = matching.result() if matching else lexical_search()
    rows = np.unique(np.concatenate([near, matched[:pool], looked_up]))
    if not len(rows):
        return ()

    lexical = np.zeros(len(snapshot.passages), dtype=np.float32)
    lexical[matched] = shares
    rows = _promising(snapshot, vector, rows, lexical, max(_READ, top_k), looked_up)
    sentences = _sentences_of(snapshot, vector, rows)
    scores = _score(snapshot, vector, rows, lexical, sentences)
    bonus = np.zeros(len(rows))
    bonus[np.searchsorted(rows, looked_up)] = LOOKUP_WEIGHT
    totals = scores @ _WEIGHTS + bonus
    best = np.argsort(-totals, kind="stable")
    depth = top_k + _REREAD
    places = _distinct(snapshot, rows, best[:depth], sentences)
    while len(places) < top_k and depth < len(rows):  # where one text has many copies
        depth *= 2
        places = _distinct(snapshot, rows, best[:depth], sentences)

    asked = dict(zip(places, _beyond_topics(snapshot, vector, rows[list(places)]), strict=True))

    def hit(number: int) -> Hit:
        passage = snapshot.passages[rows[number]]
        elsewhere = tuple(snapshot.passages[rows[other]] for other in places[number])
        cosines, beyond = sentences.cosines_of(number), sentences.cosines_with(asked[number], number)
        names = snapshot.listed.get(passage.document, ())
        marked = mark(query, passage, cosines, beyond, names)
        gain = KIND_WEIGHT if marked.of_kind else 0.0
        total, added = float(totals[number]) + gain, float(bonus[number]) + gain
        own, sentence, words, around, words_around = scores[number].tolist()
        parts = Scores(own, sentence, words, around, words_around, total, added, marked.cosine, marked.beyond)
        return Hit(passage, parts, marked.sentence, elsewhere)

    hits = {number: hit(number) for number in islice(places, _REREAD)} if query.kind in TELLING_KINDS else {}
    ranked = {number: hits[number].scores.total if number in hits else float(totals[number]) for number in places}
    order = sorted(ranked, key=lambda number: -ranked[number])  # stable: equal scores stay in corpus order
    whose = snapshot.document_rows[rows[order]][:, 0].tolist()  # a document's first row stands for it
    shown = _spread([(number, document, ranked[number]) for number, document in zip(order, whose, strict=True)])
    return tuple(hits.get(number) or hit(number) for number in shown[:top_k])


def _vector_of(query: Query, encoder: Encoder) -> Floats:
    """Where a question points to; one that leans, half way to where it points with the words lent."""
    vector: Floats = encoder.encode_question(query.text)[0]
    if query.leans:
        vector = vector + encoder.encode_question(f"{query.text} {' '.join(query.borrowed)}")[0]
        vector /= np.linalg.norm(vector)
    return vector


def _beyond_topics(snapshot: Snapshot, vector: Floats, rows: Rows) -> Floats:
    """What a question asks beyond the topic of each of some passages: its vector without the direction of the topic's,
    shape ``(len(rows), dim)``."""
    topics = snapshot.topic_vectors.of(rows)
    beyond: Floats = vector - (topics @ vector)[:, None] * topics
    return beyond


@dataclass(frozen=True, slots=True)
class _Sentences:
    """The sentences of the candidates, one candidate after the other: their vectors and what 1 stands for in each,
    their cosines with the question, and where each candidate begins."""

    vectors: Floats
    scales: Floats
    cosines: Floats
    offsets: Rows

    def cosines_of(self, number: int) -> Floats:
        """Return the cosines of one candidate's sentences with the question."""
        return self.cosines[self.offsets[number] : self.offsets[number + 1]]

    def cosines_with(self, vector: Floats, number: int) -> Floats:
        """Return the cosines of one candidate's sentences with another vector."""
        its = slice(self.offsets[number], self.offsets[number + 1])
        cosines: Floats = (self.vectors[its] @ vector) * self.scales[its]
        return cosines

    def best(self) -> Floats:
        """Return the highest cosine of each candidate."""
        best: Floats = np.maximum.reduceat(self.cosines, self.offsets[:-1])
        return best

    def alike(self, numbers: npt.NDArray[np.intp]) -> Floats:
        """Return the cosine of the mean vectors of the sentences of each two of some candidates."""
        bounds = zip(self.offsets[numbers].tolist(), self.offsets[numbers + 1].tolist(), strict=True)
        sums = np.array([self.scales[first:last] @ self.vectors[first:last] for first, last in bounds])
        products = sums @ sums.T
        lengths = np.sqrt(products.diagonal())
        cosines: Floats = products / (lengths[:, None] * lengths)
        return cosines


def _sentences_of(snapshot: Snapshot, vector: Floats, rows: Rows) -> _Sentences:
    """Read the sentences of some passages, and of no others."""
    starts, ends = snapshot.sentence_rows[rows], snapshot.sentence_rows[rows + 1]
    offsets = np.concatenate([[0], np.cumsum(ends - starts)])
    places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)
    vectors, scales = snapshot.sentence_vectors.unscaled(places)
    return _Sentences(vectors, scales, (vectors @ vector) * scales, offsets)


def _distinct(
    snapshot: Snapshot, rows: Rows, best: npt.NDArray[np.intp], sentences: _Sentences
) -> dict[int, list[int]]:
    """The best candidates, best first, each with those after it that say the same; numbers count in ``rows``.

    A copy that has one sentence more stands for itself where that is the one that is nearest to the question. Words are
    compared only where the sentences, on average, are near enough in meaning for them to be the same.
    """

    def adds_nothing(number: int, first: int) -> bool:
        passage, before = snapshot.passages[rows[number]], snapshot.passages[rows[first]]
        nearest = _runs(passage.sentence_text(int(sentences.cosines_of(number).argmax())))
        return _say_the_same(passage, before) and len(nearest & _runs(before.text)) >= _SAME * len(nearest)

    near = (sentences.alike(best) >= _PERHAPS_SAME).tolist()
    numbers: list[int] = best.tolist()
    places: dict[int, list[int]] = {}
    firsts: list[int] = []
    for position, number in enumerate(numbers):
        perhaps = [first for first in firsts if near[position][first]]
        first = next((its for its in perhaps if adds_nothing(number, numbers[its])), position)
        if first == position:
            firsts.append(position)
            places[number] = []
        else:
            places[numbers[first]].append(number)
    return places


def _say_the_same(one: Passage, other: Passage) -> bool:
    own, its = _runs(one.text), _runs(other.text)
    return len(own & its) >= _SAME * len(own | its)


@lru_cache(maxsize=1 << 12)
def _runs(text: str) -> frozenset[tuple[str, ...]]:
    words = words_of(text.casefold())
    return frozenset(zip(*(words[start:] for start in range(min(_RUN, len(words)))), strict=False))


def _spread(ranked: Sequence[tuple[int, int, float]]) -> list[int]:
    """Put a document's passages beyond its places behind those of others, if enough others answer too.

    :param ranked: number, document and score of each candidate, best first.
    """
    near_best = {document for _, document, score in ranked[:_REREAD] if score >= _NEAR_BEST * ranked[0][2]}
    taken: Counter[int] = Counter()
    first: list[int] = []
    later: list[int] = []
    for number, document, _ in ranked:
        taken[document] += 1
        crowded = taken[document] > _DOCUMENT_PLACES and len(near_best - {document}) >= _OTHERS
        (later if crowded and len(first) < _PLACES else first).append(number)
    if not later:
        return first
    return first[:_PLACES] + sorted(first[_PLACES:] + later, key=[number for number, _, _ in ranked].index)


def _looked_up_row(snapshot: Snapshot, query: Query, documents: list[str] | None) -> Rows:
    """The passage with the place in a list that answers the question, if it is that kind of question."""
    lookup = query.lookup
    if lookup is None or (documents is not None and lookup.list.document not in documents):
        return np.zeros(0, dtype=np.int64)
    fitting = (row for row in snapshot.rows_of([lookup.list.document]) if lookup.is_in(snapshot.passages[row]))
    return np.array(list(islice(fitting, 1)), dtype=np.int64)


def _promising(snapshot: Snapshot, vector: Floats, rows: Rows, lexical: Floats, count: int, needed: Rows) -> Rows:
    """The candidates that are best by their own two scores, in corpus order; only their sentences and surroundings are
    read."""
    if len(rows) <= count:
        return rows
    own = PASSAGE_WEIGHT * snapshot.vectors.cosines(vector, rows) + LEXICAL_WEIGHT * lexical[rows]
    return np.union1d(rows[np.argpartition(-own, count)[:count]], needed)


def _score(snapshot: Snapshot, vector: Floats, rows: Rows, lexical: Floats, sentences: _Sentences) -> Floats:
    """Return one row for each candidate, which are in corpus order: its scores in the order of ``_WEIGHTS``."""
    first, last = snapshot.document_rows[rows].T
    around = rows[:, None] + np.arange(-_AROUND, _AROUND + 1)
    inside = (around >= first[:, None]) & (around < last[:, None])
    around = np.where(inside, around, rows[:, None])
    both = np.array([snapshot.vectors.cosines(vector, around.ravel()).reshape(around.shape), lexical[around]])
    means = (both * inside).sum(axis=2) / inside.sum(axis=1)
    among = np.minimum(np.searchsorted(rows, around), len(rows) - 1)  # the place of each among the candidates, if it is
    stretches = np.where(rows[among] == around, (_WEIGHTS[3:] @ means)[among], -np.inf)
    best = among[np.arange(len(rows)), stretches.argmax(axis=1)]
    scores: Floats = np.array([both[0, :, _AROUND], sentences.best(), both[1, :, _AROUND], *means[:, best]]).T
    return scores
