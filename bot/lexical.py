"""BM25 over passages: finds by the very words, where the encoder finds by meaning.

tantivy (k1 1.2, b 0.75) over the passage with its title and headings before it; words are folded in case and accents
and stemmed. Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import tantivy
from tantivy import Filter, Occur, Query, TextAnalyzerBuilder, Tokenizer

#: Part of a snapshot's identity: raise it when the same text would be indexed differently.
LEXICAL_VERSION = 1

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

_ANALYZER = (
    TextAnalyzerBuilder(Tokenizer.regex(_WORD))
    .filter(Filter.remove_long(80))
    .filter(Filter.lowercase())
    .filter(Filter.ascii_fold())
    .filter(Filter.custom_stopword(_STOP_WORDS))
    .filter(Filter.stemmer("english"))
    .build()
)

_WRITER_BYTES = 50_000_000


def terms_of(text: str) -> list[str]:
    """Return the content words of a text as the index knows them: folded, stemmed, in order, with repeats."""
    terms: list[str] = _ANALYZER.analyze(text)
    return terms


def words_of(text: str) -> list[str]:
    """Return the words of a text as written, with inner hyphens and apostrophes, in order."""
    return re.findall(r"\w+(?:[-'’]\w+)*", text)


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", stored=False, indexed=False, fast=True)
    builder.add_text_field("document", stored=False, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("text", stored=False, tokenizer_name="folded", index_option="freq")
    return builder.build()


def build_lexical(texts: Iterable[str], documents: Iterable[str], folder: Path) -> None:
    """Write the index of passages, in order, into an empty folder. ``documents`` are the ids that filters name."""
    index = tantivy.Index(_schema(), path=str(folder))
    index.register_tokenizer("folded", _ANALYZER)
    writer = index.writer(heap_size=_WRITER_BYTES, num_threads=1)
    for row, (text, document) in enumerate(zip(texts, documents, strict=True)):
        entry = tantivy.Document()
        entry.add_unsigned("row", row)
        entry.add_text("document", document)
        entry.add_text("text", text)
        writer.add_document(entry)
    writer.commit()
    writer.wait_merging_threads()


class Lexical:
    """An opened index. Reads only; threads may share one.

    :raises ValueError: if the folder holds no such index.
    """

    def __init__(self, folder: Path) -> None:
        if not tantivy.Index.exists(str(folder)):
            raise ValueError(f"there is no lexical index in {str(folder)!r}")
        self._schema = _schema()
        index = tantivy.Index.open(str(folder))
        index.config_reader("manual")  # never written to again, so nothing to watch
        index.register_tokenizer("folded", _ANALYZER)
        index.reload()
        self._searcher = index.searcher()

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def search(
        self, terms: Sequence[str], limit: int, documents: Sequence[str] | None = None
    ) -> list[tuple[int, float]]:
        """Return ``(row, BM25)`` of the passages with any of the terms, best first, equal scores in corpus order.

        :param limit: most passages to return, 1 or more.
        :param documents: ids of the only documents to look in; ``None`` for all.
        """
        if not terms or documents == [] or not len(self):
            return []
        query = Query.boolean_query(
            [
                (Occur.Should, Query.term_query(self._schema, "text", term, index_option="freq"))
                for term in dict.fromkeys(terms)
            ]
        )
        if documents is not None:
            only = Query.const_score_query(Query.term_set_query(self._schema, "document", list(documents)), 0.0)
            query = Query.boolean_query([(Occur.Must, query), (Occur.Must, only)])
        hits = self._searcher.search(query, limit, count=False).hits
        rows = self._searcher.fast_field_values("row", [address for _, address in hits])
        found = [(int(str(row)), float(score)) for row, (score, _) in zip(rows, hits, strict=True)]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    def idf(self, term: str) -> float:
        """Return how much a term tells passages apart: Lucene's idf, more than 0; rare is high, unknown is highest."""
        count = self._searcher.doc_freq("text", term)
        return math.log(1 + (len(self) - count + 0.5) / (count + 0.5))

    def knows(self, term: str) -> bool:
        """Whether any passage, title or heading holds the term."""
        return bool(self._searcher.doc_freq("text", term))
