"""From a question to the passages that match it, best first.

Dense and lexical search each name candidates; every candidate then gets the same three absolute scores, and their
weighted sum makes the order. Ranks are not fused: rank fusion throws away how well something matched, which is what
tells an answer from a near miss.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice

import faiss
import numpy as np
import numpy.typing as npt

from bot.lexical import terms_of
from bot.query import Query
from bot.question import PLAIN_KINDS, Kind, holds
from bot.snapshot import Snapshot
from bot.types import Encoder, Filters, Hit, Scores

#: Weights of the three scores. A sentence that answers stands out of a long passage. BM25 counts as a share of the
#: highest it could reach for the question, so that long questions do not drown the cosines.
PASSAGE_WEIGHT = 0.8
SENTENCE_WEIGHT = 0.2
LEXICAL_WEIGHT = 0.8

#: The most that one occurrence more can add to BM25, times idf: k1 + 1 with tantivy's k1 of 1.2.
_BM25_CEILING = 2.2

#: What a sentence gains on top of its cosine when it is chosen to be marked: for each word of the question that it
#: holds, the more the fewer sentences of its passage hold it; and for holding the kind of thing that is asked for, more
#: where the kind is plain to tell. They do not change the order of passages.
MARK_WORD_WEIGHT = 0.03
MARK_KIND_WEIGHTS: dict[Kind, float] = {
    "contact": 0.3, "sum": 0.3, "number": 0.3, "date": 0.3, "frequency": 0.3, "place": 0.1, "name": 0.1, "reason": 0.1,
}  # fmt: skip

#: What a passage gains whose marked sentence holds the kind of thing that is asked for, where that is plain to tell;
#: and how many of the best passages are read for it.
KIND_WEIGHT = 0.05
_REREAD = 10

#: What the stretch of a list gains that answers whether a name stands in it: enough to come first.
LOOKUP_WEIGHT = 1.0

#: Candidates that each of the two searches names.
_POOL = 100


@dataclass(frozen=True, slots=True)
class _Scored:
    row: int
    scores: Scores


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
    nothing, so threads may share one. The dense scan is exact: time grows with passages x dim.

    :param top_k: most hits to return, 1 or more; fewer passages give fewer hits.
    :param filters: which documents may be quoted; all when ``None``.
    """
    documents = None
    if filters is not None:
        documents = [document.id for document in snapshot.documents.values() if filters.admit(document)]
    vector = encoder.encode_question(query.text)
    pool = max(_POOL, top_k)

    lexical = dict(snapshot.lexical.search(query.terms, pool, documents))
    looked_up = _looked_up_row(snapshot, query, documents)
    rows = _dense_rows(snapshot, vector, pool, documents) | lexical.keys() | looked_up
    scored = _score(snapshot, query, vector, sorted(rows), lexical)
    scored = [_raised(item) if item.row in looked_up else item for item in scored]
    scored.sort(key=lambda item: (-item.scores.total, item.row))
    marked = [_mark(snapshot, query, vector, item) for item in scored[: max(top_k, _REREAD)]]
    marked.sort(key=lambda hit: -hit.scores.total)  # stable: equal scores stay in corpus order
    return tuple(marked[:top_k])


def _looked_up_row(snapshot: Snapshot, query: Query, documents: list[str] | None) -> set[int]:
    """The passage with the place in a list that answers the question, if it is that kind of question."""
    if query.lookup is None or (documents is not None and query.lookup.list.document not in documents):
        return set()
    fitting = (row for row, passage in enumerate(snapshot.passages) if query.lookup.is_in(passage))
    return set(islice(fitting, 1))


def _raised(item: _Scored) -> _Scored:
    return _Scored(item.row, replace(item.scores, total=item.scores.total + LOOKUP_WEIGHT))


def _dense_rows(
    snapshot: Snapshot, vector: npt.NDArray[np.float32], pool: int, documents: list[str] | None
) -> set[int]:
    """FAISS fills the places it has no result for with -1, which Python would read as the last passage
    (github.com/facebookresearch/faiss/issues/1731): those are dropped."""
    if documents is None:
        _, rows = snapshot.vectors.search(vector, pool)
    else:
        selector = faiss.IDSelectorBatch(snapshot.rows_of(documents))
        only = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        _, rows = snapshot.vectors.search(vector, pool, params=only)
    return {int(row) for row in rows[0] if row >= 0}


def _score(
    snapshot: Snapshot, query: Query, vector: npt.NDArray[np.float32], rows: list[int], lexical: dict[int, float]
) -> list[_Scored]:
    if not rows:
        return []
    cosines = snapshot.vectors.reconstruct_batch(np.array(rows, dtype=np.int64)) @ vector[0]
    ceiling = _BM25_CEILING * sum(snapshot.lexical.idf(term) for term in set(query.terms)) or 1.0
    result = []
    for row, cosine in zip(rows, cosines, strict=True):
        sentence = float(_sentence_cosines(snapshot, vector, row).max())
        bm25 = lexical.get(row, 0.0)
        total = PASSAGE_WEIGHT * float(cosine) + SENTENCE_WEIGHT * sentence + LEXICAL_WEIGHT * bm25 / ceiling
        result.append(_Scored(row, Scores(float(cosine), sentence, bm25, total)))
    return result


def _sentence_cosines(snapshot: Snapshot, vector: npt.NDArray[np.float32], row: int) -> npt.NDArray[np.float32]:
    first, last = snapshot.sentence_rows[row], snapshot.sentence_rows[row + 1]
    cosines: npt.NDArray[np.float32] = snapshot.sentence_vectors[first:last].astype(np.float32) @ vector[0]
    return cosines


def _mark(snapshot: Snapshot, query: Query, vector: npt.NDArray[np.float32], item: _Scored) -> Hit:
    """Choose the sentence of a passage that answers best.

    It is near in meaning, has the question's rarer words, and holds the kind of thing that is asked for.
    """
    passage = snapshot.passages[item.row]
    entry = query.lookup.entry if query.lookup is not None and query.lookup.is_in(passage) else None
    if entry is not None and entry in passage.sentences:
        number = passage.sentences.index(entry)
        cosine = float(_sentence_cosines(snapshot, vector, item.row)[number])
        return Hit(passage, replace(item.scores, marked=cosine), number)
    sentences = [passage.sentence_text(number) for number in range(len(passage.sentences))]
    shared = [set(query.terms) & set(terms_of(sentence)) for sentence in sentences]
    holders = Counter(term for held in shared for term in held)
    cosines = _sentence_cosines(snapshot, vector, item.row)
    scores = cosines.copy()
    for number, held in enumerate(shared):
        rarity = sum(math.log((len(sentences) + 1) / (holders[term] + 0.5)) for term in held)
        scores[number] += MARK_WORD_WEIGHT * rarity
        if query.kind is not None and holds(sentences[number], query.kind):
            scores[number] += MARK_KIND_WEIGHTS[query.kind]
    best = int(scores.argmax())
    total = item.scores.total
    if query.kind in PLAIN_KINDS and holds(sentences[best], query.kind):
        total += KIND_WEIGHT
    return Hit(passage, replace(item.scores, marked=float(cosines[best]), total=total), best)
