"""Why an answer is as it is: the words that matched, the signals, and the status in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from bot.confidence import Calibration, Signals, Verdict, unknown_words
from bot.language import NAMES
from bot.lexical import terms_of, words_of
from bot.query import Query
from bot.question import PLAIN_KINDS, Kind
from bot.snapshot import Snapshot
from bot.types import Explanation, Hit

_KINDS: dict[Kind, str] = {
    "contact": "a way to get in touch",
    "sum": "a sum of money",
    "frequency": "how often",
    "duration": "how long",
    "measure": "a measure, such as a length",
    "number": "a number",
    "date": "a date",
    "time": "when",
    "country": "the name of a country",
    "place": "a place",
    "name": "a name",
    "reason": "a reason",
    "definition": "a definition",
}

#: From here on a share counts as most, and a cosine as near.
_MOST, _NEAR = 0.75, 0.5


def explain_answer(
    query: Query, hits: Sequence[Hit], verdict: Verdict, snapshot: Snapshot, calibration: Calibration
) -> Explanation:
    """Return what made an answer what it is."""
    if not hits:
        reasons: Iterator[str] = iter(["No passage could be searched."])
    elif verdict.signals is None:
        reasons = iter(["The question asks whether a name stands in a list; the list was looked through."])
    else:
        reasons = _reasons(query, hits[0], verdict, verdict.signals, snapshot, calibration)
    return Explanation(
        matched=tuple(_matched(query, hit) for hit in hits),
        signals=asdict(verdict.signals) if verdict.signals else {},
        reasons=tuple(reasons),
    )


def _matched(query: Query, hit: Hit) -> tuple[str, ...]:
    """The words of the question that a passage, its title aside, has in any form."""
    held = set(terms_of(" ".join([*hit.passage.headings, hit.passage.text])))
    return tuple(dict.fromkeys(word for word in _words(query) if held & set(terms_of(word))))


def _reasons(
    query: Query, hit: Hit, verdict: Verdict, signals: Signals, snapshot: Snapshot, calibration: Calibration
) -> Iterator[str]:
    low, high = calibration.unsure_from, calibration.answered_from
    where = {
        "answered": f"at least {high}: the quote is given as the answer",
        "unsure": f"between {low} and {high}: the quote is given with a request to check it",
        "not_found": f"below {low}: nothing is quoted",
    }
    yield f"The confidence {verdict.confidence:.3f} is {where[verdict.status]}."
    near = "near to" if signals.passage >= _NEAR else "far from"
    yield f"The best passage is {near} the question in meaning (cosine {signals.passage:.2f}, 1 is the same)."
    amount = "most" if signals.covered >= _MOST else "some" if signals.covered else "none"
    yield f"The passage, its title and its headings hold {amount} of what the question says ({signals.covered:.0%})."
    if missing := _missing(query, hit):
        yield f"The passage does not say anything with: {', '.join(missing)}."
    if unknown := unknown_words(query.text, snapshot.lexical):
        yield f"No document uses: {', '.join(unknown)}."
    if query.foreign is not None:
        yield (
            f"The question seems to be in {NAMES[query.foreign]}, which the setting `languages` does not name; "
            "the setting `model` can name a multilingual model."
        )
    if query.kind is not None:
        told = "lacks" if signals.lacks_kind else "holds"
        found = told if query.kind in PLAIN_KINDS else "is likelier if it holds"
        yield f"The question asks for {_KINDS[query.kind]}; the marked sentence {found} such a thing."


def _words(query: Query) -> list[str]:
    """The words that were searched for, those of earlier questions included."""
    return [*words_of(query.text), *query.borrowed]


def _missing(query: Query, hit: Hit) -> tuple[str, ...]:
    held = set(terms_of(" ".join([*hit.passage.headings, hit.passage.text])))
    asked = ((word, set(terms_of(word))) for word in _words(query))
    return tuple(dict.fromkeys(word for word, terms in asked if terms and not terms & held))
