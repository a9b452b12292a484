"""Hits -> how sure: the product of two probabilities, each a logistic model of signals that mean the same anywhere.

That the documents are *about* what is asked: how near the best passage is, and whether the words are known, tell
weather, sport and small talk apart. That they *hold* it, being about it: nearness can not tell a question that they
answer from a near miss, where only the fact is missing; whether the marked sentence holds the kind of thing that is
asked for, and how much of the question stands in it, beside it and above it, can.

The weights stand in ``calibration.json``; ``tests/evaluation/calibrate.py`` fitted them and prints how well they do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files

from bot.lexical import Lexical, terms_of, words_of
from bot.passages import context_of
from bot.query import Query
from bot.question import PLAIN_KINDS, holds
from bot.snapshot import Snapshot
from bot.types import Hit, Status

#: A list either holds a name or does not; what may be wrong is whether the question asks about that list.
LOOKUP_CONFIDENCE = 0.9


@dataclass(frozen=True, slots=True)
class Signals:
    """What the confidence is made of; all but ``matched`` lie between -1 and 1.

    ``passage``: best cosine of any passage. ``best_sentence``: best cosine of any sentence of theirs. ``sentence``:
    cosine of the marked sentence, 0 if it lacks what is asked for. ``covered``: share of the question's content, by
    idf, in the marked sentence, its neighbours and headings. ``unknown``: share of the question's content, by idf,
    that the corpus never uses. ``matched``: log of 1 + the number of content words covered. ``lacks_plain``,
    ``lacks_vague``: 1 if the marked sentence lacks the kind of thing that is asked for, where that is plain to tell
    (a number, a date) or not (a name, a reason).
    """

    passage: float
    best_sentence: float
    sentence: float
    covered: float
    unknown: float
    matched: float
    lacks_plain: float
    lacks_vague: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Weights of the signals by name, ``constant`` among them, and the two thresholds.

    Below ``unsure_from`` nothing is quoted; from ``answered_from`` on the quote is given as the answer; between them
    it is given with a request to check it.
    """

    about: Mapping[str, float]
    holds: Mapping[str, float]
    unsure_from: float
    answered_from: float

    def confidence(self, signals: Signals) -> float:
        """Return the probability, 0 to 1, that the passages answer the question."""
        values = asdict(signals) | {"constant": 1.0}
        return _logistic(self.about, values) * _logistic(self.holds, values)


def _logistic(weights: Mapping[str, float], values: Mapping[str, float]) -> float:
    return 1 / (1 + math.exp(-sum(weight * values[name] for name, weight in weights.items())))


@cache
def shipped_calibration() -> Calibration:
    """Return the calibration that comes with the package."""
    return Calibration(**json.loads(files("bot").joinpath("calibration.json").read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Verdict:
    """``confidence`` is the probability, 0 to 1, that the passages answer the question."""

    status: Status
    confidence: float


def judge(query: Query, hits: Sequence[Hit], snapshot: Snapshot) -> Verdict:
    """Say how sure it is that the best hits answer the question. No hits, no answer."""
    if not hits:
        return Verdict("not_found", 0.0)
    if query.lookup is not None and query.lookup.is_in(hits[0].passage):
        return Verdict("answered", LOOKUP_CONFIDENCE)
    calibration = shipped_calibration()
    confidence = calibration.confidence(signals_of(query, hits, snapshot))
    if confidence < calibration.unsure_from:
        return Verdict("not_found", confidence)
    return Verdict("answered" if confidence >= calibration.answered_from else "unsure", confidence)


def signals_of(query: Query, hits: Sequence[Hit], snapshot: Snapshot) -> Signals:
    """Read the signals off the hits, of which there must be one."""
    hit, lexical = hits[0], snapshot.lexical
    terms = set(query.terms)
    weights = {term: lexical.idf(term) for term in terms}
    content = sum(weights.values()) or 1.0
    around = terms & _terms_around(hit, snapshot)
    marked = hit.passage.sentence_text(hit.best_sentence)
    lacks = query.kind is not None and not holds(marked, query.kind)
    return Signals(
        passage=max(other.scores.passage for other in hits),
        best_sentence=max(other.scores.sentence for other in hits),
        sentence=0.0 if lacks else hit.scores.marked,
        covered=sum(weights[term] for term in around) / content,
        unknown=sum(weight for term, weight in weights.items() if not lexical.knows(term)) / content if terms else 1.0,
        matched=math.log1p(len(around)),
        lacks_plain=float(lacks and query.kind in PLAIN_KINDS),
        lacks_vague=float(lacks and query.kind not in PLAIN_KINDS),
    )


def _terms_around(hit: Hit, snapshot: Snapshot) -> set[str]:
    """The content words of the marked sentence, the sentences beside it, and the title and headings above."""
    passage, number = hit.passage, hit.best_sentence
    nearby = range(max(0, number - 1), min(len(passage.sentences), number + 2))
    context = context_of(snapshot.documents[passage.document].source.title, passage.headings)
    return set(terms_of(" ".join([context, *(passage.sentence_text(position) for position in nearby)])))


def unknown_words(question: str, lexical: Lexical) -> tuple[str, ...]:
    """Return the content words of a question, as written, that no passage, title or heading holds."""
    unknown = []
    for word in words_of(question):
        terms = terms_of(word)
        if terms and not any(lexical.knows(term) for term in terms):
            unknown.append(word)
    return tuple(dict.fromkeys(unknown))
