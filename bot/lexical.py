"""BM25 over passages: finds by the very words, where the encoder finds by meaning.

tantivy (k1 1.2, b 0.75) over the passage with its title and headings before it, read in three ways: stemmed words;
pairs of words that stand side by side; and the encoder's word pieces, which still match where a word is misspelt,
inflected or compounded otherwise. Words are folded in case and accents. Robertson and Zaragoza, "The Probabilistic
Relevance Framework: BM25 and Beyond" (2009).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import tantivy
from tantivy import Filter, Occur, Query, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

from bot.folding import with_other_forms

#: Part of a snapshot's identity: raise it when the same text would be indexed differently.
LEXICAL_VERSION = 4

#: How much each reading counts. Each is a share of the highest BM25 that it could reach for the question, so that long
#: questions weigh no more than short ones. ``tests/evaluation/ablation.py`` prints what each is worth.
READINGS: Mapping[str, float] = {"words": 0.54, "pieces": 0.31, "pairs": 0.15}

#: The most that one occurrence more can add to BM25, times idf: k1 + 1 with tantivy's k1 of 1.2.
_CEILING = 2.2

#: Words that say how something is asked, not what about.
_STOP_WORDS = (
    "a about after all also am an and any anybody anyone are as at be because been before being between both "
    "but by can could d did do does doing done during each either else ever every few for from further get "
    "give go got had has have having he her here hers him his how however i if in into is it its itself just "
    "kind let ll m many may me might mine more most much must my myself need no nor not now of off on once "
    "only or other our ours out over own please re s same shall she should since so some somebody someone "
    "something such t tell than that the their theirs them then there these they thing things this those "
    "through to too under until up upon us ve very want was we were what whatever when whenever where whether "
    "which while who whoever whom whose why will with within without would yes yet you your yours bye "
    "goodbye currently exactly frequently hello helpful hey hi nice often okay regularly thank thanks usually"
).split()
#: Runs of Latin letters and digits, single Han characters, runs of kana, runs of any other script.
_WORD = r"[\p{Latin}\p{N}\p{M}]+|\p{Han}|[\p{Hiragana}\p{Katakana}ー]+|[\p{L}\p{N}\p{M}]+"


def _analyzer(*, stemmed: bool) -> TextAnalyzer:
    builder = (
        TextAnalyzerBuilder(Tokenizer.regex(_WORD))
        .filter(Filter.remove_long(80))
        .filter(Filter.ascii_fold())
        .filter(Filter.lowercase())  # after folding, of which some capitals come
        .filter(Filter.custom_stopword(_STOP_WORDS))
    )
    return (builder.filter(Filter.stemmer("english")) if stemmed else builder).build()


_STEMMED, _PLAIN = _analyzer(stemmed=True), _analyzer(stemmed=False)
_SPLIT = TextAnalyzerBuilder(Tokenizer.whitespace()).build()

#: Texts -> the numbers of the encoder's word pieces.
Pieces: TypeAlias = Callable[[Sequence[str]], list[list[int]]]

_WRITER_BYTES = 50_000_000


def terms_of(text: str) -> list[str]:
    """Return the content words of a text as the index knows them: folded, stemmed, in order, with repeats."""
    return [term for word in with_other_forms(text).split() for term in _terms_of_word(word)]


@lru_cache(maxsize=1 << 14)
def quoted_terms(text: str) -> frozenset[str]:
    """Return the content words of a stretch of a document, which is remembered: the same ones are quoted again and
    again. Never for what a person has written."""
    return frozenset(terms_of(text))


@lru_cache(maxsize=1 << 16)
def _terms_of_word(word: str) -> tuple[str, ...]:
    """What stands between spaces is analysed once: a term never reaches across a space."""
    return tuple(_STEMMED.analyze(word))


@dataclass(frozen=True, slots=True)
class Terms:
    """The content of a text in each reading: what the index holds of it, and what a question is matched by."""

    words: tuple[str, ...]
    pieces: tuple[str, ...]
    pairs: tuple[str, ...]

    @classmethod
    def of(cls, words: Sequence[str], pieces: Sequence[str]) -> Terms:
        """Return the terms of a text that has these words and pieces."""
        return cls(tuple(words), tuple(pieces), tuple(_pairs(words)))


def _pairs(words: Sequence[str]) -> Iterator[str]:
    return map("_".join, pairwise(words))


def read_terms(texts: Sequence[str], pieces: Pieces) -> list[Terms]:
    """Return the terms of each text, in order, with repeats."""
    numbers = pieces([" ".join(_PLAIN.analyze(text)) for text in texts])
    words = [terms_of(text) for text in texts]
    return [Terms.of(own, list(map(str, its))) for own, its in zip(words, numbers, strict=True)]


#: A word as written, with inner hyphens and apostrophes.
WORD = re.compile(r"\w+(?:[-'’]\w+)*")


def words_of(text: str) -> list[str]:
    """Return the words of a text as written, in order."""
    return WORD.findall(text)


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", stored=False, indexed=False, fast=True)
    builder.add_text_field("document", stored=False, tokenizer_name="raw", index_option="basic")
    for reading in READINGS:
        builder.add_text_field(reading, stored=False, tokenizer_name="split", index_option="freq")
    return builder.build()


def build_lexical(passages: Iterable[tuple[str, str, str]], folder: Path) -> npt.NDArray[np.int32]:
    """Write the index of passages, in order, into an empty folder.

    :param passages: the id of each one's document, which filters name, and its words and its pieces, in order, with
        spaces between them.
    :return: (n,), the row of each passage in the order of tantivy, which puts segments together as it likes.
    """
    index = tantivy.Index(_schema(), path=str(folder))
    index.register_tokenizer("split", _SPLIT)
    writer = index.writer(heap_size=_WRITER_BYTES, num_threads=1)
    for row, (document, words, pieces) in enumerate(passages):
        entry = tantivy.Document()
        entry.add_unsigned("row", row)
        entry.add_text("document", document)
        entry.add_text("words", words)
        entry.add_text("pieces", pieces)
        entry.add_text("pairs", " ".join(_pairs(words.split())))
        writer.add_document(entry)
    writer.commit()
    writer.wait_merging_threads()
    return _order(folder)


def _order(folder: Path) -> npt.NDArray[np.int32]:
    searcher = tantivy.Index.open(str(folder)).searcher()
    rows = (
        searcher.fast_field_values("row", [tantivy.DocAddress(segment, entry) for entry in range(size)])
        for segment, size in enumerate(_sizes(folder))
    )
    return np.fromiter(chain.from_iterable(rows), dtype=np.int32)


def _sizes(folder: Path) -> list[int]:
    """How many passages each segment has, in the order in which tantivy numbers them."""
    return [segment["max_doc"] for segment in json.loads((folder / "meta.json").read_bytes())["segments"]]


@dataclass(frozen=True, slots=True)
class _Term:
    """A term of a question in one reading: what finds it, how many passages have it, and how much it tells them apart
    (Lucene's idf)."""

    query: Query
    passages: int
    idf: float


@dataclass(frozen=True, slots=True)
class _Clause:
    """A term with what it counts, and how many passages have it."""

    query: Query
    passages: int


#: Passages with a term that are counted for a question, one term after the other, the rarest first; and terms that
#: are counted whatever they have. What is left out of a large corpus stands in so many passages that it tells little:
#: counting at most half as many as there are passages gives nDCG@5 of .314 on MTRAG's cloud documents and .444 on its
#: government ones, counting all .313 and .442.
_COUNTED, _FEWEST = 500_000, 3


def _telling(clauses: Sequence[_Clause]) -> list[_Clause]:
    """The clauses that are counted, the rarest first: as of terms that are too common (``cutoff_frequency`` of
    Elasticsearch's common terms query)."""
    counted = 0
    telling: list[_Clause] = []
    for clause in sorted(clauses, key=lambda clause: clause.passages):
        counted += clause.passages
        if counted > _COUNTED and len(telling) >= _FEWEST:
            break
        telling.append(clause)
    return telling


_NOTHING = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)


class Lexical:
    """An opened index. Reads only; threads may share one.

    :param order: what building it returned. tantivy's own record of the rows is not read: it trusts the numbers in it,
        and a wrong one would end the process.
    :raises ValueError: if the folder holds no such index, or another.
    """

    def __init__(self, folder: Path, order: npt.NDArray[np.int32]) -> None:
        if not tantivy.Index.exists(str(folder)):
            raise ValueError(f"there is no lexical index in {str(folder)!r}")
        self._schema = _schema()
        index = tantivy.Index.open(str(folder))
        index.config_reader("manual")  # never written to again, so nothing to watch
        index.register_tokenizer("split", _SPLIT)
        index.reload()
        self._searcher = index.searcher()
        self._count = int(self._searcher.num_docs)
        self._term = _remembered_terms(self._searcher, self._schema, self._count)
        self._starts = [0, *accumulate(_sizes(folder))]
        self._rows = order.astype(np.int64)
        if self._starts[-1] != self._count or not np.array_equal(np.sort(self._rows), np.arange(self._count)):
            raise ValueError(f"the order is not that of {self._count:,} passages")

    def __len__(self) -> int:
        return self._count

    def search(
        self,
        terms: Terms,
        limit: int,
        documents: Sequence[str] | None = None,
        lent: Sequence[tuple[Terms, float]] = (),
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return the rows of the passages with any of the terms, and how well they match, 0 to 1; best first.

        Of a large corpus, terms that stand in very many passages are left out where there are rarer ones.

        :param limit: most passages to return, 1 or more.
        :param lent: other terms, each with what a full match of them adds; the sum may then be more than 1.
        :param documents: ids of the only documents to look in; ``None`` for all.
        """
        if documents == [] or not self._count:
            return _NOTHING
        clauses = [clause for some, share in ((terms, 1.0), *lent) for clause in self._clauses(some, share)]
        if documents is None:
            clauses = _telling(clauses)
        if not clauses:
            return _NOTHING
        query = Query.boolean_query([(Occur.Should, clause.query) for clause in clauses])
        if documents is not None:
            only = Query.const_score_query(Query.term_set_query(self._schema, "document", list(documents)), 0.0)
            query = Query.boolean_query([(Occur.Must, query), (Occur.Must, only)])
        hits = self._searcher.search(query, limit, count=False).hits
        rows = self._rows[[self._starts[place.segment_ord] + place.doc for _, place in hits]]
        scores = np.array([score for score, _ in hits], dtype=np.float32)
        order = np.lexsort((rows, -scores))  # equal scores in corpus order
        return rows[order], scores[order]

    def _clauses(self, terms: Terms, share: float) -> Iterator[_Clause]:
        for reading, weight in READINGS.items():
            found = [self._term(reading, text) for text in dict.fromkeys(getattr(terms, reading))]
            ceiling = _CEILING * sum(term.idf for term in found)
            for term in found:
                if term.passages:
                    yield _Clause(Query.boost_query(term.query, share * weight / ceiling), term.passages)

    def idf(self, term: str, reading: str = "words") -> float:
        """Return how much a term tells passages apart: Lucene's idf, more than 0; rare is high, unknown is highest."""
        return self._term(reading, term).idf

    def knows(self, term: str) -> bool:
        """Whether any passage, title or heading holds the term."""
        return self._term("words", term).passages > 0


def _remembered_terms(searcher: tantivy.Searcher, schema: tantivy.Schema, count: int) -> Callable[[str, str], _Term]:
    """Look terms up by reading and text, and remember them: the same ones are asked about again and again. Single
    words are kept, as in ``_terms_of_word``, never a question."""

    @lru_cache(maxsize=1 << 14)
    def term(reading: str, text: str) -> _Term:
        passages = searcher.doc_freq(reading, text)
        idf = math.log(1 + (count - passages + 0.5) / (passages + 0.5))
        return _Term(Query.term_query(schema, reading, text, index_option="freq"), passages, idf)

    return term
