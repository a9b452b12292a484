"""Hits -> how sure.

A first, honest threshold: a logistic model of two signals that hold on any corpus, fitted on 58 labelled questions and
40 off-topic ones about the two pages that the shipped corpus restates. It tells what the documents are about from
what they are not about (weather, sport, small talk). It can not yet tell a question that the documents answer from a
near miss, where every word is known and only the fact is missing: such questions get "unsure" or, wrongly, "answered".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bot.lexical import Lexical, terms_of, words_of
from bot.query import Query
from bot.types import Hit, Status

#: Weights of the best passage cosine and of the share of the question's content words that the corpus never uses.
_COSINE, _UNKNOWN, _CONSTANT = 3.76, -2.96, 0.79

#: Below the first, nothing is quoted; from the second on, the quote is given as the answer. Between them both are
#: about equally likely, and the answer says so. Of the off-topic questions two of 40 reach the first threshold, both
#: about a country that the corpus names; none reaches the second.
UNSURE_FROM, ANSWERED_FROM = 0.45, 0.70


@dataclass(frozen=True, slots=True)
class Verdict:
    """``confidence`` is the probability, 0 to 1, that the passages answer the question."""

    status: Status
    confidence: float


def judge(query: Query, hits: Sequence[Hit], lexical: Lexical) -> Verdict:
    """Say how sure it is that the best hits answer the question. No hits, no answer."""
    if not hits:
        return Verdict("not_found", 0.0)
    cosine = max(hit.scores.passage for hit in hits)
    terms = set(query.terms)
    unknown = sum(not lexical.knows(term) for term in terms) / len(terms) if terms else 1.0
    confidence = 1 / (1 + math.exp(-(_COSINE * cosine + _UNKNOWN * unknown + _CONSTANT)))
    if confidence < UNSURE_FROM:
        return Verdict("not_found", confidence)
    return Verdict("answered" if confidence >= ANSWERED_FROM else "unsure", confidence)


def unknown_words(question: str, lexical: Lexical) -> tuple[str, ...]:
    """Return the content words of a question, as written, that no passage, title or heading holds."""
    unknown = []
    for word in words_of(question):
        terms = terms_of(word)
        if terms and not any(lexical.knows(term) for term in terms):
            unknown.append(word)
    return tuple(dict.fromkeys(unknown))
