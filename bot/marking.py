"""Which sentence of a passage answers: the one that is marked.

It is near in meaning, has the question's rarer words, and holds the kind of thing that is asked for. Questions and the
header of a table answer nothing, nor does a name in a list that is not asked about.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

from bot.lexical import quoted_terms
from bot.query import Query
from bot.question import PLAIN_KINDS, Kind, holds, holds_besides, is_question
from bot.types import Passage, Span

#: What a sentence gains on top of its cosine when it is chosen to be marked: for each word of the question that it
#: holds, the more the fewer sentences of its passage hold it; and for holding the kind of thing that is asked for, more
#: where the kind is plain to tell. They do not change the order of passages.
MARK_WORD_WEIGHT = 0.03
MARK_KIND_WEIGHTS: dict[Kind, float] = {
    "contact": 0.3, "sum": 0.3, "duration": 0.3, "measure": 0.3, "number": 0.3, "date": 0.3, "frequency": 0.3,
    "country": 0.3, "time": 0.1, "place": 0.1, "name": 0.1, "reason": 0.1, "definition": 0.2,
}  # fmt: skip

#: What it gains for holding what the answer is, or does, where no heading holds that (the title may: it names more than
#: one passage); most where somebody is asked for: "who chairs ...?" is answered by the sentence with "chairs".
MARK_FOCUS_WEIGHT, MARK_WHO_WEIGHT = 0.1, 0.3

#: Kinds that also tell which passage answers.
TELLING_KINDS: frozenset[Kind] = PLAIN_KINDS | {"definition"}

#: What makes a sentence the last to be marked.
_NEVER = -2.0

#: Of sentences that are found again and again.
_holds = lru_cache(maxsize=1 << 14)(holds)


@dataclass(frozen=True, slots=True)
class Marked:
    """The position of a passage's marked sentence, from 0, its cosine with the question, and with what the question
    asks beyond the passage's topic, -1 to 1; where it follows the very question that it answers, that question's.
    ``of_kind`` says whether it holds what is asked for, where that is one of ``TELLING_KINDS``."""

    sentence: int
    cosine: float
    beyond: float
    of_kind: bool = False


@dataclass(frozen=True, slots=True)
class _Sentences:
    """The sentences of a passage, their content words, and the positions of those that never answer: that ask or only
    begin an answer, for which what follows stands, and that are a table's header."""

    texts: tuple[str, ...]
    terms: tuple[frozenset[str], ...]
    leading: tuple[int, ...]
    headers: tuple[int, ...]


def mark(
    query: Query,
    passage: Passage,
    cosines: npt.NDArray[np.float32],
    beyond: npt.NDArray[np.float32],
    names: Collection[Span] = (),
) -> Marked:
    """Choose the sentence of a passage that answers a question best.

    What is near is what is near to the question beyond the topic of the passage, its title and headings: they say what
    all of its sentences are about, so the one that names it again would be the nearest, and answer nothing.

    :param cosines: shape ``(sentences,)``, of the question with each sentence of the passage, -1 to 1.
    :param beyond: the same of what is left of the question without the direction of the topic.
    :param names: the entries of lists of names in the passage's document.
    """
    to_question: list[float] = cosines.tolist()
    to_asked: list[float] = beyond.tolist()
    entry = query.lookup.entry if query.lookup is not None and query.lookup.is_in(passage) else None
    if entry is not None and entry in passage.sentences:
        number = passage.sentences.index(entry)
        return Marked(number, to_question[number], to_asked[number])
    sentences = _sentences_of(passage)
    asked = query.about
    held = [asked & terms for terms in sentences.terms]
    never = {*sentences.leading, *sentences.headers}
    for number in sentences.leading:  # what follows is as near
        to_question[number + 1] = max(to_question[number + 1], to_question[number])
        to_asked[number + 1] = max(to_asked[number + 1], to_asked[number])
    if names and query.kind != "country":
        never.update(number for number, span in enumerate(passage.sentences) if span in names and not held[number])
    holders = Counter(chain.from_iterable(held))
    rarity = {term: math.log((len(to_asked) + 1) / (count + 0.5)) for term, count in holders.items()}
    scores = [
        cosine + MARK_WORD_WEIGHT * sum(map(rarity.__getitem__, its))
        for cosine, its in zip(to_asked, held, strict=True)
    ]
    fitting = [False] * len(scores)
    if query.kind is not None:
        fitting = [_fits(text, query.kind, asked) for text in sentences.texts]
        weight = MARK_KIND_WEIGHTS[query.kind]
        scores = [score + weight * fits for score, fits in zip(scores, fitting, strict=True)]
    if query.focus and not query.focus & quoted_terms(" ".join(passage.headings)):
        weight = MARK_WHO_WEIGHT if query.kind == "name" else MARK_FOCUS_WEIGHT
        scores = [score + weight * bool(query.focus & its) for score, its in zip(scores, sentences.terms, strict=True)]
    for number in never:
        scores[number] += _NEVER
    best = scores.index(max(scores))
    return Marked(best, to_question[best], to_asked[best], query.kind in TELLING_KINDS and fitting[best])


def _fits(sentence: str, kind: Kind, asked: Set[str]) -> bool:
    """Whether a sentence holds what is asked for: of a name or a definition, not of what the question has itself."""
    return holds_besides(sentence, kind, asked) if kind in ("country", "definition") else _holds(sentence, kind)


@lru_cache(maxsize=1 << 12)
def _sentences_of(passage: Passage) -> _Sentences:
    texts = tuple(passage.sentence_text(number) for number in range(len(passage.sentences)))
    terms = tuple(map(quoted_terms, texts))
    leading = tuple(number for number, text in enumerate(texts[:-1]) if not terms[number] or is_question(text))
    headers = tuple(
        number
        for number, (sentence, following) in enumerate(pairwise(texts))
        if number not in leading and _is_header(sentence, following)
    )
    return _Sentences(texts, terms, leading, headers)


def _is_header(sentence: str, following: str) -> bool:
    """Whether a table's row only names its columns, which the rows after it do as well."""
    first, between, _ = sentence.partition(" | ")
    return bool(between) and following.startswith(f"{first}: ")
