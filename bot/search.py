"""From a question to the passages that match it, best first.

Dense and lexical search each name candidates; every candidate then gets the same absolute scores, its own and those of
the passages around it, and their weighted sum makes the order. Ranks are not fused: rank fusion throws away how well
something matched, which is what tells an answer from a near miss. A convex combination of scores, each scaled by its
own theoretical bounds, after Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (2023).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice, pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bot.lexical import quoted_terms, words_of
from bot.query import Query
from bot.question import PLAIN_KINDS, Kind, holds, holds_besides, is_question
from bot.snapshot import Snapshot
from bot.types import Encoder, Filters, Hit, Passage, Scores, Span

#: Weights of the scores; they add up to 1. A sentence that answers stands out of a long passage; a passage that answers
#: stands among others about the same. ``tests/evaluation/ablation.py`` prints what each part is worth.
PASSAGE_WEIGHT = 0.225
SENTENCE_WEIGHT = 0.12
LEXICAL_WEIGHT = 0.41
AROUND_PASSAGE_WEIGHT = 0.08
AROUND_LEXICAL_WEIGHT = 0.165

#: How many passages of the same document, before and after one, are around it.
_AROUND = 2

_WEIGHTS = np.array(
    [PASSAGE_WEIGHT, SENTENCE_WEIGHT, LEXICAL_WEIGHT, AROUND_PASSAGE_WEIGHT, AROUND_LEXICAL_WEIGHT], dtype=np.float32
)

#: What a sentence gains on top of its cosine when it is chosen to be marked: for each word of the question that it
#: holds, the more the fewer sentences of its passage hold it; and for holding the kind of thing that is asked for, more
#: where the kind is plain to tell. They do not change the order of passages.
MARK_WORD_WEIGHT = 0.03
MARK_KIND_WEIGHTS: dict[Kind, float] = {
    "contact": 0.3, "sum": 0.3, "duration": 0.3, "number": 0.3, "date": 0.3, "frequency": 0.3, "country": 0.3,
    "time": 0.1, "place": 0.1, "name": 0.1, "reason": 0.1,
}  # fmt: skip

#: What makes a sentence the last to be marked.
_NEVER = -2.0

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
_POOL, _SCORED = 100, 400

#: Candidates of which sentences and surroundings are read.
_READ = 60

#: Passages from which the lexical search takes as long as encoding the question, so that both go on at a time: of a
#: million, whoever asks alone waits a third less; where all cores are busy, a tenth fewer are answered. Of fewer, the
#: hand-over to another thread and back costs what is gained.
_LONG_SEARCH = 100_000

#: Of sentences that are found again and again.
_holds = lru_cache(maxsize=1 << 14)(holds)

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

    lexical = np.zeros(len(snapshot.passages) + 2 * _AROUND, dtype=np.float32)  # room for what is beyond either end
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

    listed = snapshot.listed

    def hit(number: int) -> Hit:
        passage = snapshot.passages[rows[number]]
        elsewhere = tuple(snapshot.passages[rows[other]] for other in places[number])
        best, gain, near = _marked(
            query, passage, sentences.cosines_of(number), listed.get(passage.document, frozenset())
        )
        parts = _scores(scores[number], float(bonus[number]) + gain, near)
        return Hit(passage, parts, best, elsewhere)

    hits = {number: hit(number) for number in islice(places, _REREAD)} if query.kind in PLAIN_KINDS else {}
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


@dataclass(frozen=True, slots=True)
class _Sentences:
    """The sentences of the candidates, one candidate after the other: their vectors, cosines with the question, and
    where each candidate begins."""

    vectors: Floats
    cosines: Floats
    offsets: Rows

    def cosines_of(self, number: int) -> Floats:
        """Return the cosines of one candidate's sentences."""
        return self.cosines[self.offsets[number] : self.offsets[number + 1]]

    def best(self) -> Floats:
        """Return the highest cosine of each candidate."""
        best: Floats = np.maximum.reduceat(self.cosines, self.offsets[:-1])
        return best

    def means_of(self, numbers: npt.NDArray[np.intp]) -> Floats:
        """Return the mean vector of the sentences of some candidates, of length 1, one row for each."""
        bounds = zip(self.offsets[numbers], self.offsets[numbers + 1], strict=True)
        sums = np.stack([self.vectors[first:last].sum(axis=0) for first, last in bounds])
        means: Floats = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        return means


def _sentences_of(snapshot: Snapshot, vector: Floats, rows: Rows) -> _Sentences:
    """Read the sentences of some passages, and of no others."""
    starts, ends = snapshot.sentence_rows[rows], snapshot.sentence_rows[rows + 1]
    offsets = np.concatenate([[0], np.cumsum(ends - starts)])
    places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)
    vectors = snapshot.sentence_vectors.of(places)
    return _Sentences(vectors, vectors @ vector, offsets)


def _distinct(
    snapshot: Snapshot, rows: Rows, best: npt.NDArray[np.intp], sentences: _Sentences
) -> dict[int, list[int]]:
    """The best candidates, best first, each with those after it that say the same; numbers count in ``rows``.

    Words are compared only where the sentences, on average, are near enough in meaning for them to be the same.
    """
    means = sentences.means_of(best)
    near = (means @ means.T >= _PERHAPS_SAME).tolist()
    places: dict[int, list[int]] = {}
    firsts: list[int] = []
    for position in range(len(best)):
        own = rows[best[position]]
        same = (
            first
            for first in firsts
            if near[position][first] and _say_the_same(snapshot.passages[own], snapshot.passages[rows[best[first]]])
        )
        first = next(same, position)
        if first == position:
            firsts.append(position)
            places[int(best[position])] = []
        else:
            places[int(best[first])].append(int(best[position]))
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
    own = PASSAGE_WEIGHT * (snapshot.vectors.of(rows) @ vector) + LEXICAL_WEIGHT * lexical[rows]
    return np.union1d(rows[np.argpartition(-own, count)[:count]], needed)


def _score(snapshot: Snapshot, vector: Floats, rows: Rows, lexical: Floats, sentences: _Sentences) -> Floats:
    """Return one row for each candidate: its scores in the order of ``_WEIGHTS``."""
    first, last = snapshot.document_rows[rows].T
    around = rows[:, None] + np.arange(-_AROUND, _AROUND + 1)
    inside = (around >= first[:, None]) & (around < last[:, None])
    near = np.unique(around[inside])
    cosines = np.zeros(len(lexical), dtype=np.float32)
    cosines[near] = snapshot.vectors.of(near) @ vector
    count = inside.sum(axis=1)
    return np.stack(
        [
            cosines[rows],
            sentences.best(),
            lexical[rows],
            np.where(inside, cosines[around], 0).sum(axis=1) / count,
            np.where(inside, lexical[around], 0).sum(axis=1) / count,
        ],
        axis=1,
    )


def _marked(
    query: Query, passage: Passage, cosines: Floats, names: frozenset[Span] = frozenset()
) -> tuple[int, float, float]:
    """Choose the sentence of a passage that answers best; return its number, what the passage gains by it, and how near
    it is: where it follows the very question that it answers, as near as that.

    It is near in meaning, has the question's rarer words, and holds the kind of thing that is asked for. Questions and
    the header of a table answer nothing, nor does a name in a list that is not asked about.

    :param cosines: of the question with each sentence of the passage.
    :param names: the entries of lists of names in the passage's document.
    """
    entry = query.lookup.entry if query.lookup is not None and query.lookup.is_in(passage) else None
    if entry is not None and entry in passage.sentences:
        number = passage.sentences.index(entry)
        return number, 0.0, float(cosines[number])
    sentences = [passage.sentence_text(number) for number in range(len(passage.sentences))]
    asked = query.about
    near, shared = _as_answers(sentences, cosines, asked)
    if names and query.kind != "country":
        near = [
            cosine + _NEVER if span in names and not held else cosine
            for span, cosine, held in zip(passage.sentences, near, shared, strict=True)
        ]
    holders = {term: sum(term in held for held in shared) for term in set().union(*shared)}
    rarity = {term: math.log((len(sentences) + 1) / (count + 0.5)) for term, count in holders.items()}
    scores = [
        cosine + MARK_WORD_WEIGHT * sum(map(rarity.__getitem__, held))
        for cosine, held in zip(near, shared, strict=True)
    ]
    if query.kind is not None:
        weight = MARK_KIND_WEIGHTS[query.kind]
        does_hold = [
            holds_besides(sentence, "country", asked) if query.kind == "country" else _holds(sentence, query.kind)
            for sentence in sentences
        ]
        scores = [score + weight * does for score, does in zip(scores, does_hold, strict=True)]
    best = scores.index(max(scores))
    gain = KIND_WEIGHT if query.kind in PLAIN_KINDS and _holds(sentences[best], query.kind) else 0.0
    return best, gain, max(near[best], float(cosines[best]))


def _as_answers(
    sentences: Sequence[str], cosines: Floats, asked: frozenset[str]
) -> tuple[list[float], list[frozenset[str]]]:
    """How near each sentence is as an answer, and the words asked for that it holds: what a question of the document
    has of both goes to what follows it, and to what follows "Yes."; a table's header is no answer at all."""
    terms = list(map(quoted_terms, sentences))
    near, held = cosines.tolist(), [asked & its for its in terms]
    for number, (sentence, following) in enumerate(pairwise(sentences)):
        if not terms[number] or is_question(sentence):
            near[number + 1] = max(near[number + 1], near[number])
            held[number + 1] |= held[number]
            near[number], held[number] = near[number] + _NEVER, frozenset()
        elif _is_header(sentence, following):
            near[number] += _NEVER
    return near, held


def _is_header(sentence: str, following: str) -> bool:
    """Whether a table's row only names its columns, which the rows after it do as well."""
    first, between, _ = sentence.partition(" | ")
    return bool(between) and following.startswith(f"{first}: ")


def _scores(parts: Floats, bonus: float, marked: float) -> Scores:
    passage, sentence, lexical, around_passage, around_lexical = map(float, parts)
    return Scores(
        passage=passage,
        sentence=sentence,
        lexical=lexical,
        around_passage=around_passage,
        around_lexical=around_lexical,
        bonus=bonus,
        total=float(parts @ _WEIGHTS) + bonus,
        marked=marked,
    )
