"""Hits -> how sure: a logistic model of signals that mean the same on any corpus.

Nearness alone tells weather, sport and small talk apart, but not a question that the documents answer from a near miss,
where only the fact is missing: the right page, without the phone number. What tells these is what the question asks
*about* its topic. The words that the title and headings hold say what it is about; the others say what it wants to
know, and must stand in the passage; the marked sentence must be near to what is left of the question without its topic;
and it must hold the kind of thing that is asked for, besides the words of the question itself.

How much each signal tells depends on the corpus: among passages about all sorts of things the one that is near is the
one that answers; among those about one thing all are near to any question about it, and what matters is what they lack.
So there are two sets of weights, and how alike the passages are says how much of each.

The weights stand in ``calibration.json``; ``tests/evaluation/calibrate.py`` fitted them and prints how well they do.
``signpost calibrate`` refits them on an operator's own questions.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files

from bot.countries import COUNTRY, COUNTRY_ADJECTIVE
from bot.lexical import Lexical, quoted_terms, terms_of, words_of
from bot.query import Query
from bot.question import ASKING_TERMS, PLAIN_KINDS, asks_whether, holds_besides, is_question
from bot.snapshot import Snapshot
from bot.types import Hit, Status

#: A list either holds a name or does not; what may be wrong is whether the question asks about that list.
LOOKUP_CONFIDENCE = 0.9

#: Hits that are read: the best, and those after it whose scores are what it stands out from.
JUDGED = 6

#: A word with one capital, but for a sentence's first: "SMS" and "NGOs" have other names.
_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z][a-zà-ÿ]{2,}\b")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")

#: Words, each as rare as any, that a passage may lack before more of them tell nothing more.
_MOST_MISSING = 4.0

#: Cosine from which a sentence is near enough, if it says what is asked for.
_NEAR_ENOUGH = 0.6

#: Passages that are more alike than those that the weights were fitted on are taken for as alike.
_MOST_ALIKE = 0.7

#: Share, by idf, of what a question leans on that a passage must hold; one that lacks more is of another topic.
_ON_TOPIC = 0.5

#: Weights beyond this are a slip; evidence beyond this is as good as certain.
_HEAVIEST, _SUREST = 1_000.0, 30.0


@dataclass(frozen=True, slots=True)
class Signals:
    """What the confidence is made of.

    - ``likeness``: how alike the passages of the corpus are, 0 to 0.7. It tells nothing by itself, but how much the
      others tell.
    - ``passage``: best cosine of any passage, -1 to 1. ``around``: mean cosine of the best hit and the passages around
      it, -1 to 1: where all are as near, the question is about what they are about, and may ask for something else.
    - ``sentence``: cosine of the marked sentence, -1 to 0.6. ``beyond``: cosine with what is asked beyond the passage's
      topic, title and headings, -1 to 1.
    - ``margin``: how far the best score stands out from the next five, on average, 0 to 1.
    - ``covered``: share of the question's content words, by idf, in the passage, its title and headings, 0 to 1.
    - ``asked_covered``: share, by idf, of what is asked about the topic that the passage holds, the topic being the
      words that the title and the headings hold; 1 if nothing else is asked.
    - ``asked_missing``: how much it lacks, by idf, in words as rare as any, 4 at most; of two questions with the same
      share covered the longer one lacks more, and may.
    - ``lacks_kind``: 1 if the marked sentence lacks what is asked for (a number, a date), where that is plain to tell.
    - ``lacks_focus``: 1 if the marked sentence, the title and the headings lack what the answer is, or does: the
      "companies" of "which companies ...?".
    """

    likeness: float
    passage: float
    around: float
    sentence: float
    beyond: float
    margin: float
    covered: float
    asked_covered: float
    asked_missing: float
    lacks_kind: float
    lacks_focus: float


#: What has a weight, ``constant`` last.
WEIGHED = (*(field.name for field in fields(Signals) if field.name != "likeness"), "constant")


@dataclass(frozen=True, slots=True)
class Calibration:
    """Weights by the names that ``WEIGHED`` holds, and the two thresholds.

    ``mixed`` are the weights where passages have nothing in common, ``alike`` those where all say the same; each counts
    as much as the likeness says. Below ``unsure_from`` nothing is quoted; from ``answered_from`` on the quote is given
    as the answer; between them it is given with a request to check it.
    """

    mixed: Mapping[str, float]
    alike: Mapping[str, float]
    unsure_from: float
    answered_from: float

    def __post_init__(self) -> None:
        for weights in (self.mixed, self.alike):
            if set(weights) != set(WEIGHED) or not all(abs(weight) <= _HEAVIEST for weight in weights.values()):
                raise ValueError("a calibration has a weight for each signal, none of them huge")
        if not 0 < self.unsure_from <= self.answered_from <= 1:
            raise ValueError("a calibration has two thresholds between 0 and 1, the lower one first")

    def confidence(self, signals: Signals) -> float:
        """Return the probability, 0 to 1, that the passages answer the question."""
        mixed, alike = (
            weights["constant"] + sum(weights[name] * getattr(signals, name) for name in WEIGHED[:-1])
            for weights in (self.mixed, self.alike)
        )
        evidence = (1 - signals.likeness) * mixed + signals.likeness * alike
        return 1 / (1 + math.exp(-max(-_SUREST, min(_SUREST, evidence))))

    def unsure_at_most(self, confidence: float) -> float:
        """Return a confidence that is no answer's, and otherwise as high as can be, in hundredths."""
        least = min(self.unsure_from, math.nextafter(self.answered_from, 0))
        return min(confidence, max(least, self.answered_from - 0.01))

    def status(self, confidence: float) -> Status:
        """Return what an answer of a confidence is called."""
        if confidence < self.unsure_from:
            return "not_found"
        return "answered" if confidence >= self.answered_from else "unsure"


@cache
def shipped_calibration() -> Calibration:
    """Return the calibration that comes with the package."""
    return Calibration(**json.loads(files("bot").joinpath("calibration.json").read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Verdict:
    """``confidence`` is the probability, 0 to 1, that the passages answer the question.

    ``signals`` is what it was made of; ``None`` without hits and where a list was looked through.
    """

    status: Status
    confidence: float
    signals: Signals | None = None


def judge(query: Query, hits: Sequence[Hit], snapshot: Snapshot, calibration: Calibration) -> Verdict:
    """Say how sure it is that the best hits, of which ``JUDGED`` are read, answer the question. No hits, no answer.

    A question in a language that the encoder does not know is matched by its names and numbers alone: what is found may
    be worth a look, and is never given as the answer. Nor is what is said of another country or year than is asked
    about, what "and why?" finds, which has no word of its own, nor who chairs something else than what "and who chairs
    it?" was asked of.
    """
    if not hits:
        return Verdict("not_found", 0.0)
    if query.lookup is not None and query.lookup.is_in(hits[0].passage):
        signals, confidence = None, LOOKUP_CONFIDENCE
    else:
        signals = signals_of(query, hits, snapshot)
        confidence = calibration.confidence(signals)
        if _lacks_name(query, hits[0], snapshot):
            confidence = calibration.unsure_at_most(confidence)
    if query.foreign is not None or (query.leans and (not query.terms.words or _strays(query, hits[0], snapshot))):
        confidence = calibration.unsure_at_most(confidence)
    return Verdict(calibration.status(confidence), confidence, signals)


def _lacks_name(query: Query, hit: Hit, snapshot: Snapshot) -> bool:
    """Whether a question names a country or a year that the passage, its title and its headings do not: what is said of
    another is no answer. Whether something is so may be answered without naming it, but for what no document names."""
    if asks_whether(query.text):
        names = (terms_of(name) for name in _NAME.findall(COUNTRY.sub("", query.text)))
        return any(name and not any(map(snapshot.lexical.knows, name)) for name in names)
    named = [match[0] for match in COUNTRY.finditer(query.text) if not COUNTRY_ADJECTIVE.fullmatch(match[0])]
    named += _YEAR.findall(query.text)
    if not named:
        return False
    said = quoted_terms(snapshot.context(hit.passage)) | quoted_terms(hit.passage.text)
    return any(not said.issuperset(terms_of(name)) for name in named)


def signals_of(query: Query, hits: Sequence[Hit], snapshot: Snapshot) -> Signals:
    """Read the signals off the hits, of which there must be one."""
    hit, lexical = hits[0], snapshot.lexical
    weights = {term: lexical.idf(term) for term in query.about}
    topic = quoted_terms(snapshot.context(hit.passage))
    said = topic | quoted_terms(hit.passage.text)
    asked = weights.keys() - topic - ASKING_TERMS
    missing = asked - said
    marked = _marked_with_its_list(hit)
    plain = query.kind if query.kind in PLAIN_KINDS else None
    runners_up = [other.scores.total for other in hits[1:JUDGED]]

    def share(some: Set[str], of: Set[str]) -> float:
        whole = sum(weights[term] for term in of)
        return sum(weights[term] for term in some) / whole if whole else 1.0

    return Signals(
        likeness=min(snapshot.likeness, _MOST_ALIKE),
        passage=max(other.scores.passage for other in hits[:JUDGED]),
        around=hit.scores.around_passage,
        sentence=min(hit.scores.marked, _NEAR_ENOUGH),
        beyond=hit.scores.beyond,
        margin=hit.scores.total - sum(runners_up) / len(runners_up) if runners_up else 0.0,
        covered=share(weights.keys() & said, weights.keys()) if weights else 0.0,
        asked_covered=share(asked - missing, asked) if asked or topic & weights.keys() else 0.0,
        asked_missing=min(_MOST_MISSING, sum(weights[term] for term in missing) / lexical.idf("")),
        lacks_kind=float(plain is not None and not holds_besides(marked, plain, weights.keys())),
        lacks_focus=float(bool(query.focus) and not query.focus & (topic | quoted_terms(marked))),
    )


def _strays(query: Query, hit: Hit, snapshot: Snapshot) -> bool:
    """Whether a passage, its title and headings included, lacks most of what the last turn lent."""
    held = quoted_terms(snapshot.context(hit.passage)) | quoted_terms(hit.passage.text)
    lent = {term: snapshot.lexical.idf(term) for terms, _ in query.lent[:1] for term in terms.words}
    return sum(lent[term] for term in lent.keys() & held) < _ON_TOPIC * sum(lent.values())


def _marked_with_its_list(hit: Hit) -> str:
    """The marked sentence, the question before it, and the first entry of the list that it introduces."""
    passage, number = hit.passage, hit.best_sentence
    marked = passage.sentence_text(number)
    if number and is_question(asked := passage.sentence_text(number - 1)):
        marked = f"{asked} {marked}"
    if marked.endswith(":") and number + 1 < len(passage.sentences):
        return f"{marked} {passage.sentence_text(number + 1)}"
    return marked


def unknown_words(question: str, lexical: Lexical) -> tuple[str, ...]:
    """Return the content words of a question, as written, that no passage, title or heading holds."""
    unknown = []
    for word in words_of(question):
        terms = terms_of(word)
        if terms and not any(lexical.knows(term) for term in terms):
            unknown.append(word)
    return tuple(dict.fromkeys(unknown))
